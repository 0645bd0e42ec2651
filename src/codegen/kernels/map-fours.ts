/**
 * A map's body for four neighbours at once: what they share is computed once, what lies side by side is loaded and stored as a vec4, and
 * the rest is done for each of them. Undefined where the four do not lie so, or where something needs to know
 * which of them it is.
 */
import type { Affine } from "../index-math.js";
import type { Loop, MapLoops, Region } from "../region.js";
import { byFour, inFours } from "./matmul-plan.js";

export interface Fours {
  /** Loads, the work and the stores, for `i`, which is a multiple of four. */
  readonly lines: readonly string[];
  /** Bindings that are read and written four numbers at a time. */
  readonly vec4: readonly number[];
}

const COORDINATE = /\b(i|row|group|lid|i\d+)\b/;
const namesIn = (text: string): string[] => text.match(/\b[a-z_]\w*\b/g) ?? [];

export function foursOf(region: Region, map: MapLoops): Fours | undefined {
  const { loops, emitter, values } = map;
  const last = loops.at(-1);
  if (!last || !(byFour(last.range) || (region.wholePacks && loops.length === 1))) return undefined;
  const along: Loop = { name: last.name, range: byFour(last.range) ? last.range : 4 };
  const together = (index: Affine): boolean => inFours(index, along);
  const results = region.body.results.map((r, k) => ({
    dtype: r.value.type.dtype,
    binding: region.results[k]!,
    value: values[k]!,
  }));
  const dtypesFit = results.every((r) => r.dtype === "f32") && map.windows.every((w) => w === undefined || together(w));
  if (!dtypesFit) return undefined;

  const loadOf = new Map(
    emitter.loads.map((load) => {
      const binding = region.params[load.param]!;
      return [`b${binding}[${emitter.printIndex(load.index)}]`, { binding, index: load.index }];
    }),
  );
  const vec4 = new Set(results.map((r) => r.binding));
  const single = new Set<number>();
  /** Variables that differ among the four; of those, the loaded ones. */
  const moving = new Set<string>();
  const loaded = new Set<string>();
  const before: string[] = [];
  const inside: string[] = [];
  for (const line of map.lines) {
    const [, name, text] = /^let (\w+) = (.*);$/.exec(line) ?? [];
    if (name === undefined || text === undefined) return undefined;
    const names = namesIn(text);
    const load = loadOf.get(text);
    const differs = names.includes(last.name) || names.some((n) => moving.has(n));
    if (!differs) {
      if (load) single.add(load.binding);
      before.push(line);
      continue;
    }
    moving.add(name);
    if (load) {
      // At a place that itself differs in another way than by the four's own order, they do not lie side by side.
      if (!together(load.index) || names.some((n) => moving.has(n))) return undefined;
      vec4.add(load.binding);
      loaded.add(name);
      before.push(`let ${name} = b${load.binding}[(${text.slice(text.indexOf("[") + 1, -1)}) / 4u];`);
    } else {
      if (COORDINATE.test(text)) return undefined;
      inside.push(line);
    }
  }
  // A binding has one type.
  if ([...vec4].some((b) => single.has(b) || region.bindings[b]!.dtype !== "f32")) return undefined;

  /** The text for one of the four: what was loaded is a component, what is computed has a name of its own. */
  const partOf = (text: string, part: string): string =>
    text.replaceAll(/\b[a-z_]\w*\b/g, (n) => (loaded.has(n) ? `${n}.${part}` : moving.has(n) ? `${n}${part}` : n));
  const parts = ["x", "y", "z", "w"];
  const stores = results.map(({ binding, value }, k) => {
    const place = map.places[k] ?? "i";
    return `b${binding}[(${place}) / 4u] = vec4f(${parts.map((part) => partOf(value, part)).join(", ")});`;
  });
  return { lines: [...before, ...parts.flatMap((part) => inside.map((line) => partOf(line, part))), ...stores], vec4: [...vec4] };
}
