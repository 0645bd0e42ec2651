/** map: elementwise regions, with any number of results; a thread an element, or four where they lie side by side in memory. */

import { product } from "../../program/size.js";
import { toStored, type Words } from "../emitter.js";
import { byFour, fourLoads, foursText, inFours } from "../fours.js";
import { type Family, fnText, kernelText } from "../kernel.js";
import { decode, type Loop, type MapLoops, mapLoops, type Region } from "../region.js";
import { threefryNeeds } from "./random.js";

const WORKGROUP = 64;

export const map: Family = {
  name: "map",
  doc: "Elementwise regions: one thread per element, or for four that lie side by side.",
  lower: (region, { safe }) => {
    if (region.kind !== "map") return undefined;
    const map = mapLoops(region);
    const { loops, lines, values, places, emitter, words } = map;
    const elements = product(loops.map((l) => l.range));
    const size = words.named("elements", elements);
    const stores = region.body.results.map(
      (r, k) => `b${region.results[k]}[${places[k] ?? "i"}] = ${toStored(values[k]!, r.value.type.dtype)};`,
    );
    const fours = safe ? undefined : foursOf(region, map, [...lines, ...stores]);
    const each = fours ? 4 : 1;
    const where = coordinates(loops, words, each);
    const random = threefryNeeds(emitter, region);
    const text = kernelText({
      title: `map: ${describe(region.body.nodes.map((n) => n.op))}`,
      bindings: region.bindings,
      words,
      vec4: fours?.vec4 ?? [],
      consts: { WORKGROUP: `${WORKGROUP}u`, EACH: `${each}u` },
      sizes: { ELEMENTS: size },
      hooks: random.hooks + fnText("body(i: u32, group: u32, lid: u32)", [...where, ...(fours?.lines ?? [...lines, ...stores])]),
      file: "./kernels/map.wgsl",
      libraries: random.libraries,
    });
    return {
      family: "map",
      words,
      extent: [elements],
      variants: [{ name: fours ? "fours" : "naive", requires: {}, workgroupSize: WORKGROUP, tile: [WORKGROUP * each], text }],
    };
  },
};

/** The lines for i … i + 3, and the bindings that they read and write so; undefined where the four do not lie side by side. */
function foursOf(
  region: Region,
  { loops, windows, emitter }: MapLoops,
  lines: readonly string[],
): { readonly lines: readonly string[]; readonly vec4: readonly number[] } | undefined {
  const last = loops.at(-1);
  if (!last || !(byFour(last.range) || (region.wholePacks && loops.length === 1))) return undefined;
  const along: Loop = { name: last.name, range: byFour(last.range) ? last.range : 4 };
  const stored = region.body.results.every(
    (r, k) => r.value.type.dtype === "f32" && (windows[k] === undefined || inFours(windows[k], along)),
  );
  const loads = fourLoads(region, emitter.loads, (index) => emitter.printIndex(index), along);
  if (!stored || !loads || region.results.some((b) => loads.single.has(b))) return undefined;
  const text = foursText(lines, loads, along);
  return text && { lines: text, vec4: [...new Set([...loads.vec4, ...region.results])] };
}

/** The loop variables of element i, the first of `each`. Rows of whole workgroups are found from the workgroup's number: a division for all its threads. */
function coordinates(loops: readonly Loop[], words: Words, each: number): string[] {
  const declare = (name: string, text: string) => `let ${name} = ${text};`;
  const last = loops.at(-1);
  if (!last || loops.length < 2 || typeof last.range !== "number" || last.range % (WORKGROUP * each) !== 0)
    return decode(loops, "i", words.size, declare);
  const perRow = words.size(last.range / (WORKGROUP * each));
  return [
    `let row = group / ${perRow};`,
    declare(last.name, `((group - row * ${perRow}) * ${WORKGROUP}u + lid) * ${each}u`),
    ...decode(loops.slice(0, -1), "row", words.size, declare),
  ];
}

/** The ops of a region in a few words, for the head of its text. */
export function describe(ops: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const op of ops) counts.set(op, (counts.get(op) ?? 0) + 1);
  return [...counts].map(([op, n]) => (n > 1 ? `${op} ×${n}` : op)).join(", ") || "copy";
}
