/** The kernel of a region as an entry runs it: one dispatch, or two with memory of their own between them. */
import type { Dispatch } from "../program/program.js";
import type { Size } from "../program/size.js";
import { type BodyWork, divided, type StorageWork, total } from "./work.js";

/** `id` makes it one of the program's kernels, if its like is not there yet. */
export interface StageKernel {
  readonly key: string;
  readonly uniforms: readonly Size[];
  readonly extent: readonly Size[];
  /** Which of the region's bindings it has, where it is one of two kernels; both bind what lies between them last. */
  readonly binds?: readonly number[];
  readonly id: () => number;
}

export interface RegionKernel extends StageKernel {
  readonly choiceKey?: string;
  /** What runs before it, and how many f32 that leaves for it. */
  readonly before?: StageKernel;
  readonly between?: Size;
  readonly work: BodyWork;
}

/** The dispatches of a region's kernel, in their order. `between` makes the memory between two of them. */
export function dispatchesOf(
  { before, between, choiceKey, ...last }: RegionKernel,
  bindings: readonly number[],
  label: string,
  work: StorageWork,
  memory: (length: Size) => number,
): Dispatch[] {
  const key = choiceKey === undefined ? {} : { choiceKey };
  const one = ({ id, uniforms, extent }: StageKernel, bound: readonly number[], own: StorageWork, choice = {}): Dispatch => {
    return { kernel: id(), bindings: bound, uniforms, extent, label, ...choice, work: total(own) };
  };
  if (before === undefined) return [one(last, bindings, work, key)];
  const parts = memory(between!);
  const bound = ({ binds }: StageKernel): number[] => [...binds!.map((i) => bindings[i]!), parts];
  const [first, rest] = divided(work, bound(before));
  // The choice is the first one's: whoever times it times what follows, too.
  return [one(before, bound(before), first, key), one(last, bound(last), rest)];
}
