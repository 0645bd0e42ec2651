/**
 * What a dispatch has to do: the work of its body, with the bytes by storage, so that dispatches that become one (updates of the weights
 * of a pack) count what they share once.
 */
import { costOf, neverMore, type Traffic, trafficOf, typeBytes } from "../ir/cost.js";
import type { Fn } from "../ir/graph.js";
import type { Work } from "../program/program.js";
import { add, mul, type Size, sub } from "../program/size.js";
import { inFull } from "./stored.js";

export interface StorageWork {
  readonly macs: Size;
  readonly flops: Size;
  /** Bytes by storage id. */
  readonly read: ReadonlyMap<number, Size>;
  readonly written: ReadonlyMap<number, Size>;
}

/** The same with the bytes by parameter and result: alike in all dispatches of one body, wherever its operands lie. */
export interface BodyWork extends Traffic {
  readonly macs: Size;
  readonly flops: Size;
  /** Bytes of each parameter, looked at or not. */
  readonly whole: readonly Size[];
}

export function workOfBody(body: Fn): BodyWork {
  const { macs, flops } = costOf({ stage: "kernel", fns: [] }, inFull(body));
  return { macs, flops, ...trafficOf(body), whole: body.params.map((p) => typeBytes(p.value.type)) };
}

/** `inputs` and `outputs` are the storages of the body's parameters and results. */
export function workOf(body: BodyWork, inputs: readonly number[], outputs: readonly number[]): StorageWork {
  const { macs, flops, reads, whole, writes } = body;
  const read = new Map<number, Size>();
  inputs.forEach((id, i) => {
    // Two parameters may be one storage, looked at in two ways.
    read.set(id, neverMore(add(read.get(id) ?? 0, reads[i]!), whole[i]!));
  });
  const written = new Map<number, Size>();
  outputs.forEach((id, i) => {
    written.set(id, add(written.get(id) ?? 0, writes[i]!));
  });
  return { macs, flops, read, written };
}

/** Several dispatches as one. `part`: a storage that each has another of, so that its bytes add up; any other is there once. */
export function together(works: readonly StorageWork[], part: (storage: number) => boolean): StorageWork {
  const merged = (pick: (work: StorageWork) => ReadonlyMap<number, Size>) => {
    const bytes = new Map<number, Size>();
    for (const work of works) {
      for (const [id, size] of pick(work)) bytes.set(id, part(id) ? add(bytes.get(id) ?? 0, size) : size);
    }
    return bytes;
  };
  return {
    macs: works.map(({ macs }) => macs).reduce(add, 0),
    flops: works.map(({ flops }) => flops).reduce(add, 0),
    read: merged(({ read }) => read),
    written: merged(({ written }) => written),
  };
}

/**
 * The work of two kernels that share one body: the contraction is the first one's, with what of `first` the body reads, and all else the
 * second's. What lies between them is how it is done, and not counted.
 */
export function divided(work: StorageWork, first: readonly number[]): [StorageWork, StorageWork] {
  const { macs, flops, read, written } = work;
  const reads = (own: boolean) => new Map([...read].filter(([id]) => first.includes(id) === own));
  return [
    { macs, flops: mul(2, macs), read: reads(true), written: new Map() },
    { macs: 0, flops: sub(flops, mul(2, macs)), read: reads(false), written },
  ];
}

export const total = ({ macs, flops, read, written }: StorageWork): Work => ({
  macs,
  flops,
  read: [...read.values()].reduce(add, 0),
  written: [...written.values()].reduce(add, 0),
});
