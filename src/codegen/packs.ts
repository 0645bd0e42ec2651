/**
 * Packs: the trained weights side by side in a few large storages, and their moments, averages and gradients likewise, all with one
 * layout. So the optimizer, whose kernel for one weight is the same as for any other, runs once a pack instead of once a weight. Weights
 * that a kernel reads as one (ir/parameter-runs.ts) stand together in a pack, trained or not.
 */

import { typeBytes } from "../ir/cost.js";
import type { Module } from "../ir/graph.js";
import { ParameterRuns, weightKey } from "../ir/parameter-runs.js";
import { ALIGNMENT } from "../program/pack.js";

export interface Pack {
  /** Byte at which each weight begins. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly bytes: number;
}

/** The packs of a module's weights and its runs, none larger than a binding unless one weight alone is. */
export function planPacks(
  module: Module,
  maxBinding?: number,
): { readonly packs: readonly Pack[]; readonly runs: ParameterRuns } {
  const runs = ParameterRuns.of(module, maxBinding);
  const sizes = new Map<string, number>();
  for (const { params } of module.fns) {
    for (const p of params) {
      const key = weightKey(p);
      if (key !== undefined) sizes.set(key, Math.ceil((typeBytes(p.value.type) as number) / ALIGNMENT) * ALIGNMENT);
    }
  }
  const trained = [...sizes.keys()].filter((key) => runs.isTrained(key));
  const byUnit = new Map(
    [...trained, ...runs.all().flat()].map((key) => [runs.runOf(key)?.[0] ?? key, runs.runOf(key) ?? [key]]),
  );
  const bytesOf = (unit: readonly string[]): number => unit.reduce((n, key) => n + sizes.get(key)!, 0);
  // The largest first, each in the first pack that has room: what is left over is small.
  const units = [...byUnit.values()].sort((a, b) => bytesOf(b) - bytesOf(a));
  const packs: { offsets: Map<string, number>; bytes: number; trained: boolean }[] = [];
  for (const unit of units) {
    const bytes = bytesOf(unit);
    const isTrained = runs.isTrained(unit[0]!);
    let pack = packs.find((p) => p.bytes + bytes <= runs.limit && p.trained === isTrained);
    if (!pack) {
      pack = { offsets: new Map(), bytes: 0, trained: isTrained };
      packs.push(pack);
    }
    for (const key of unit) {
      pack.offsets.set(key, pack.bytes);
      pack.bytes += sizes.get(key)!;
    }
  }
  return { packs, runs };
}
