/**
 * Packs: the trained weights side by side in a few large storages, and their moments, averages and gradients likewise, all with one
 * layout. So the optimizer, whose kernel for one weight is the same as for any other, runs once a pack instead of once a weight.
 */
import type { Module } from "../ir/graph.js";
import { numel } from "../ir/types.js";

/** Places in a pack are multiples of this, as bindings are. */
const ALIGNMENT = 256;

export interface Pack {
  /** Byte at which each weight begins. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly bytes: number;
}

/** The trained weights of a function: those whose first moment it carries, in its order. */
export const trainedKeys = (params: Module["fns"][number]["params"]): string[] =>
  params.filter((p) => p.kind === "state" && p.name.startsWith("m.")).map((p) => p.name.slice(2));

/** The packs of a module's trained weights, none larger than `limit` unless one weight alone is. */
export function planPacks(module: Module, limit: number): readonly Pack[] {
  const sizes = new Map<string, number>();
  for (const fn of module.fns) {
    for (const p of fn.params) {
      if (p.kind === "state" && p.name.startsWith("m.")) sizes.set(p.name.slice(2), (numel(p.value.type) as number) * 4);
    }
  }
  const packs: { offsets: Map<string, number>; bytes: number }[] = [];
  for (const [key, bytes] of sizes) {
    const whole = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    let pack = packs.at(-1);
    if (!pack || pack.bytes + whole > limit) {
      pack = { offsets: new Map(), bytes: 0 };
      packs.push(pack);
    }
    pack.offsets.set(key, pack.bytes);
    pack.bytes += whole;
  }
  return packs;
}
