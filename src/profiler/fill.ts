/**
 * Numbers to run a program on when only its speed is asked for. Weights are neither zero nor too small to be normal numbers, on which some
 * CPUs are slow or fast; inputs are the same at each call.
 */
import type { Entry } from "../program/program.js";
import { evaluate } from "../program/size.js";
import type { Inputs, TypedArray } from "../runtime/inputs.js";
import type { Session } from "../runtime/session.js";

/** Numbers that are made up once. Their count is prime: no row of a weight begins where the one before it did. */
const COUNT = 1_000_003;
/** What is written at a time; even, for what is stored in f16 takes whole pairs. */
const PIECE = 1 << 19;

let made: Float32Array<ArrayBuffer> | undefined;

/** The numbers, and behind them the first of them again, so that a piece may begin at any. */
function numbers(): Float32Array<ArrayBuffer> {
  if (made) return made;
  made = new Float32Array(COUNT + PIECE);
  let state = 1;
  for (let i = 0; i < COUNT; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    made[i] = 0.02 * (state / 2 ** 31 - 1);
  }
  made.copyWithin(COUNT, 0, PIECE);
  return made;
}

/** Writes every weight that the session has, and its average: pieces of the same numbers, one behind the other. */
export async function fillWeights(session: Session): Promise<void> {
  const all = numbers();
  const names = new Set(session.names);
  let first = 0;
  for (const { name, shape } of session.program.parameters) {
    const targets = [`p.${name}`, `ema.${name}`].filter((target) => names.has(target));
    const count = shape.reduce((n, size) => n * size, 1);
    for (let at = 0; at < count; at += PIECE) {
      const piece = all.subarray(first, first + Math.min(PIECE, count - at));
      first = (first + piece.length) % COUNT;
      for (const target of targets) {
        if (count <= PIECE) await session.write(target, piece);
        else await session.writeBytes(target, 4 * at, new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength));
      }
    }
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
