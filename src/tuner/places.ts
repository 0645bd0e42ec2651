/** Where in an entry the work is that ways are chosen for: the first dispatch of each, those that belong to it, and how often it runs. */
import { addsParts } from "../codegen/kernels/matmul-split.js";
import type { Dispatch, Entry, Program } from "../program/program.js";

/** The first dispatch of some work. */
export interface Place {
  readonly index: number;
  /** It, and behind it what adds its parts where it leaves such. */
  readonly dispatches: readonly Dispatch[];
  /** How many of it there are in a run. */
  readonly runs: number;
}

/** By `choiceKey`. */
export function placesOf({ kernels }: Program, { segments }: Entry): Map<string, Place> {
  const found = new Map<string, Place>();
  const all = segments.flatMap(({ repeat, dispatches }) => dispatches.map((dispatch) => ({ dispatch, repeat })));
  for (const [index, { dispatch, repeat }] of all.entries()) {
    const { choiceKey: key } = dispatch;
    if (key === undefined) continue;
    const next = all[index + 1]?.dispatch;
    const adds = next !== undefined && addsParts(kernels[next.kernel]!);
    const known = found.get(key) ?? { index, dispatches: adds ? [dispatch, next] : [dispatch], runs: 0 };
    found.set(key, { ...known, runs: known.runs + repeat });
  }
  return found;
}
