/** Half-precision numbers as raw bits, for files: F16 (IEEE binary16) and BF16 (the upper half of an f32). */
import type { StoredTensor } from "./safetensors.js";

const bits = new Uint32Array(1);
const real = new Float32Array(bits.buffer);

/** The number that 16 bits of IEEE binary16 stand for; exact. */
export function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest number of IEEE binary16, as bits; ties go to even, what is too large becomes infinite. */
export function numberToHalf(x: number): number {
  real[0] = x;
  const sign = (bits[0]! >>> 16) & 0x8000;
  const size = Math.abs(x);
  if (Number.isNaN(x)) return 0x7e00;
  // 65520 lies half way between the largest half and what would follow it.
  if (size >= 65520) return sign | 0x7c00;
  // In units of the last place: that of subnormals below 2^-14. Scaling by powers of two is exact.
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 2 ** -14)));
  const scaled = size * 2 ** (10 - exponent);
  const below = Math.floor(scaled);
  const rest = scaled - below;
  const rounded = below + Number(rest > 0.5 || (rest === 0.5 && below % 2 === 1));
  // A carry out of the fraction runs on into the exponent, as it should.
  return sign | ((exponent + 14) * 1024 + rounded);
}

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
