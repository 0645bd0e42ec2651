/**
 * What the dispatches of an entry have to do, and how long a machine of given speed must take for it: no device is needed. A roofline is
 * two rates; no dispatch is done sooner than its arithmetic at the one and its memory traffic at the other.
 */
import type { Entry, Program } from "../program/program.js";
import { evaluate } from "../program/size.js";

/** A dispatch of an entry, counted at a batch. */
export interface Item {
  /** Position in the entry's flat list, and how often a run comes by. */
  readonly position: number;
  readonly repeat: number;
  /** Number of the kernel in the program. */
  readonly kernel: number;
  readonly label: string;
  /** The label without its place. */
  readonly what: string;
  /** `file:line` in the model; undefined for what the objective and the optimizer compute. */
  readonly line: string | undefined;
  readonly macs: number;
  readonly flops: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
}

export interface Roofline {
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
}

/** Dispatches with something in common, over a whole run: each as often as it is repeated. */
export interface Row {
  readonly name: string;
  /** Ops at a source line; of a kernel, the variant that ran. */
  readonly what: string;
  readonly dispatches: number;
  readonly flops: number;
  readonly bytes: number;
  /** Measured. */
  readonly ms?: number;
  /** What the roofline allows: the sum over the dispatches, each of them at the slower of its two rates. */
  readonly leastMs?: number;
  /** The rate that most of `leastMs` is due to. */
  readonly bound?: "arithmetic" | "memory";
}

export function itemsOf(entry: Entry, batch: number): Item[] {
  const items: Item[] = [];
  for (const { repeat, dispatches } of entry.segments) {
    for (const { kernel, label, work } of dispatches) {
      const [, what = label, line] = /^(.*?) @ (.+:\d+):\d+(?: and \d+ more)?$/.exec(label) ?? [];
      const at = (size: (typeof work)["macs"]) => evaluate(size, batch);
      items.push({
        position: items.length,
        repeat,
        kernel,
        label,
        what,
        line,
        macs: at(work.macs),
        flops: at(work.flops),
        readBytes: at(work.read),
        writtenBytes: at(work.written),
      });
    }
  }
  return items;
}

export const bytesOf = ({ readBytes, writtenBytes }: Item): number => readBytes + writtenBytes;

/** Milliseconds that an item's arithmetic and its traffic take at a roofline's rates. */
const timesOf = (item: Item, { flopsPerSecond, bytesPerSecond }: Roofline) => ({
  arithmetic: (1e3 * item.flops) / flopsPerSecond,
  memory: (1e3 * bytesOf(item)) / bytesPerSecond,
});

export function leastMs(item: Item, roofline: Roofline): number {
  const { arithmetic, memory } = timesOf(item, roofline);
  return Math.max(arithmetic, memory);
}

/** What is known beside the items: measured milliseconds by position, and a roofline. */
export interface Known {
  readonly ms?: readonly number[] | undefined;
  readonly roofline?: Roofline | undefined;
}

/** One row of items; `ms` is there for all of them or for none. */
export function rowOf(name: string, what: string, items: readonly Item[], { ms, roofline }: Known): Row {
  const sum = (of: (item: Item) => number) => items.reduce((total, item) => total + item.repeat * of(item), 0);
  return {
    name,
    what,
    dispatches: sum(() => 1),
    flops: sum(({ flops }) => flops),
    bytes: sum(bytesOf),
    ...(ms ? { ms: sum(({ position }) => ms[position]!) } : {}),
    ...(roofline ? { leastMs: sum((item) => leastMs(item, roofline)), bound: boundOf(items, roofline) } : {}),
  };
}

function boundOf(items: readonly Item[], roofline: Roofline): "arithmetic" | "memory" {
  const due = { arithmetic: 0, memory: 0 };
  for (const item of items) {
    const { arithmetic, memory } = timesOf(item, roofline);
    due[arithmetic >= memory ? "arithmetic" : "memory"] += item.repeat * Math.max(arithmetic, memory);
  }
  return due.arithmetic >= due.memory ? "arithmetic" : "memory";
}

/** A row for each kernel, those that take the longest first. `variants` are names by kernel; without a device there is none. */
export function kernelRows(
  program: Program,
  items: readonly Item[],
  known: Known,
  variants?: ReadonlyMap<string, string>,
): Row[] {
  const groups = grouped(items, ({ kernel }) => kernel);
  return sorted(
    [...groups].map(([kernel, own]) => {
      const { name } = program.kernels[kernel]!;
      return rowOf(name, variants?.get(name) ?? "", own, known);
    }),
  );
}

/** A row for each line of the model; what has none is a row by what it does. */
export function lineRows(items: readonly Item[], known: Known): Row[] {
  const groups = grouped(items, ({ line, what }) => line ?? `(${what})`);
  return sorted(
    [...groups].map(([name, own]) => {
      const ops = new Set(own.map(({ line, what }) => (line === undefined ? "" : what)));
      return rowOf(name, [...ops].join(", "), own, known);
    }),
  );
}

function grouped<K>(items: readonly Item[], key: (item: Item) => K): Map<K, Item[]> {
  const groups = new Map<K, Item[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

const sorted = (rows: Row[]): Row[] =>
  rows.sort((a, b) => (b.ms ?? b.leastMs ?? b.flops) - (a.ms ?? a.leastMs ?? a.flops) || b.bytes - a.bytes);
