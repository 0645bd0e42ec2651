/**
 * Numbers to run a program on when only its speed is asked for. Weights are neither zero nor too small to be normal numbers, on which some
 * CPUs are slow or fast; inputs are the same at each call.
 */
import type { Entry } from "../program/program.js";
import { evaluate } from "../program/size.js";
import type { Inputs, TypedArray } from "../runtime/inputs.js";
import type { Session } from "../runtime/session.js";

/** Writes every weight that the session has, and its average. */
export async function fillWeights(session: Session): Promise<void> {
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 0.02 * (state / 2 ** 31 - 1);
  };
  const names = new Set(session.names);
  for (const { name, shape } of session.program.parameters) {
    const data = Float32Array.from({ length: shape.reduce((n, size) => n * size, 1) }, next);
    for (const target of [`p.${name}`, `ema.${name}`]) if (names.has(target)) await session.write(target, data);
  }
}

/** Inputs of an entry: a wave where it takes f32, small whole numbers elsewhere. */
export function madeUpInputs({ inputs }: Entry, batch: number): Inputs {
  const array = (dtype: string, length: number): TypedArray => {
    if (dtype === "f32") return Float32Array.from({ length }, (_, i) => Math.sin(i));
    if (dtype === "i32") return Int32Array.from({ length }, (_, i) => i % 10);
    if (dtype === "bool") return Uint8Array.from({ length }, (_, i) => i % 2);
    return Uint32Array.from({ length }, (_, i) => i % 10);
  };
  return Object.fromEntries(
    inputs
      .filter(({ kind }) => kind === "input")
      .map(({ name, dtype, shape }) => [
        name,
        array(
          dtype,
          shape.reduce((n: number, size) => n * evaluate(size, batch), 1),
        ),
      ]),
  );
}
