/** The numbers of files as f32: halves come as raw bits, F16 (program/half.ts) and BF16 (the upper half of an f32). */
import { halfToNumber } from "../program/half.js";
import type { StoredTensor } from "./safetensors.js";

const bits = new Uint32Array(1);
const real = new Float32Array(bits.buffer);

/** The number that 16 bits of bfloat16 stand for; exact. */
export function brainToNumber(brain: number): number {
  bits[0] = brain << 16;
  return real[0]!;
}

/** A real tensor's values as f32: F32 is returned as it is, halves are widened exactly, F64 is rounded. Undefined for integers. */
export function toFloat32({ dtype, data }: StoredTensor): Float32Array | undefined {
  switch (dtype) {
    case "F32":
      return data as Float32Array;
    case "F64":
      return Float32Array.from(data as Float64Array);
    case "F16":
      return Float32Array.from(data as Uint16Array, halfToNumber);
    case "BF16":
      return Float32Array.from(data as Uint16Array, brainToNumber);
    default:
      return undefined;
  }
}
