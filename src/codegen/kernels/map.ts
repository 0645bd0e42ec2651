/** map: elementwise regions, with any number of results. */

import { product } from "../../program/size.js";
import { toStored } from "../emitter.js";
import { type Family, fnText, kernelText } from "../kernel.js";
import { decode, mapLoops } from "../region.js";
import { threefryNeeds } from "./random.js";

const WORKGROUP = 64;

export const map: Family = {
  name: "map",
  doc: "Elementwise regions: one thread per element.",
  lower: (region) => {
    if (region.kind !== "map") return undefined;
    const { loops, lines, values, emitter, words } = mapLoops(region);
    const elements = product(loops.map((l) => l.range));
    const size = words.named("elements", elements);
    const stores = region.body.results.map((r, k) => `b${region.results[k]}[i] = ${toStored(values[k]!, r.value.type.dtype)};`);
    const where = decode(loops, "i", words.size, (name, text) => `let ${name} = ${text};`);
    const random = threefryNeeds(emitter, region);
    const text = kernelText({
      title: `map: ${describe(region.body.nodes.map((n) => n.op))}`,
      bindings: region.bindings,
      words,
      consts: { WORKGROUP: `${WORKGROUP}u` },
      sizes: { ELEMENTS: size },
      hooks: random.hooks + fnText("body(i: u32)", [...where, ...lines, ...stores]),
      file: "./kernels/map.wgsl",
      libraries: random.libraries,
    });
    return {
      family: "map",
      words,
      extent: [elements],
      variants: [{ name: "naive", requires: {}, workgroupSize: WORKGROUP, tile: [WORKGROUP], text }],
    };
  },
};

/** The ops of a region in a few words, for the head of its text. */
export function describe(ops: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const op of ops) counts.set(op, (counts.get(op) ?? 0) + 1);
  return [...counts].map(([op, n]) => (n > 1 ? `${op} ×${n}` : op)).join(", ") || "copy";
}
