/** Random numbers for tests that make many cases: the same from the same seed, by the program's own generator. */
import { drawBits, drawInt, keyOf } from "../src/program/random.js";

export interface Random {
  /** A whole number from 0 to below `n`. */
  below(n: number): number;
  of<T>(list: readonly T[]): T;
}

export function random(seed: number): Random {
  const key = keyOf(7, 1, seed);
  let k = 0;
  const below = (n: number): number => drawInt(drawBits(key, k++, 0), n);
  return { below, of: (list) => list[below(list.length)]! };
}
