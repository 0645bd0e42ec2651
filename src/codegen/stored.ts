/**
 * Numbers that lie in memory in 16 bits. The IR says so by a cast at the edge of a body (passes/narrow.ts); here the edge becomes the
 * binding: a kernel family sees a body of f32 alone and writes `b0[i]` as ever, and the one place that puts texts together turns each
 * access to a binding of halves into one that converts. So no family knows of it.
 */
import type { Fn, Value } from "../ir/graph.js";
import { producers } from "../ir/graph.js";
import type { Binding } from "./region.js";

/** A body without the casts at its edges, as if all of it were f32. */
export function inFull(body: Fn): Fn {
  const narrow = (v: Value): boolean => v.type.dtype === "f16";
  if (![...body.params, ...body.results].some((x) => narrow(x.value))) return body;
  const made = producers(body);
  const dropped = new Set(body.nodes.filter((n) => n.op === "cast" && narrow(n.inputs[0]!)));
  const params = body.params.map((p) => {
    if (!narrow(p.value)) return p;
    const wide = body.nodes.find((n) => dropped.has(n) && n.inputs[0] === p.value)?.outputs[0];
    return { ...p, value: wide ?? { ...p.value, type: { ...p.value.type, dtype: "f32" as const } } };
  });
  const results = body.results.map((r) => {
    if (!narrow(r.value)) return r;
    const cast = made.get(r.value);
    // A copy: what comes in goes out.
    if (!cast) return { ...r, value: params[body.params.findIndex((p) => p.value === r.value)]!.value };
    dropped.add(cast);
    return { ...r, value: cast.inputs[0]! };
  });
  return { ...body, params, nodes: body.nodes.filter((n) => !dropped.has(n)), results };
}

/** What a text needs that reads halves as pairs. */
export const UNPACK = `fn unpack_one(pair: u32, i: u32) -> f32 {
  return unpack2x16float(pair)[i % 2u];
}

fn unpack_four(pairs: vec2u) -> vec4f {
  return vec4f(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
}
`;

export const hasPairs = (bindings: readonly Binding[]): boolean => bindings.some((b) => b.packed);

export const hasHalves = (bindings: readonly Binding[]): boolean => bindings.some((b) => b.dtype === "f16");

/** Numbers that are read or written at a time. */
export type Width = 1 | 2 | 4;

/**
 * Every access to a binding of halves in a text: what is read is widened, what is stored is rounded to nearest. Bindings stand in texts as
 * `b<number>[place]`; a store is a statement `b0[place] = value;`. Pairs are read alone: to write one half of a word is to race for the other.
 */
export function convertHalves(text: string, bindings: readonly Binding[], widthOf: (binding: number) => Width): string {
  if (!hasHalves(bindings)) return text;
  let out = "";
  let at = 0;
  for (const m of text.matchAll(/\bb(\d+)\[/g)) {
    const binding = Number(m[1]);
    if (bindings[binding]?.dtype !== "f16" || m.index < at) continue;
    const end = closing(text, m.index + m[0].length - 1);
    const place = convertHalves(text.slice(m.index + m[0].length, end), bindings, widthOf);
    const access = m[0] + place + text[end];
    out += text.slice(at, m.index);
    at = end + 1;
    const width = widthOf(binding);
    if (bindings[binding].packed) {
      const pair = width === 2 ? `unpack2x16float(${access})` : `unpack_one(${m[0]}(${place}) / 2u], ${place})`;
      out += width === 4 ? `unpack_four(${access})` : pair;
      continue;
    }
    const store = /^ = ([^;]*);/.exec(text.slice(at));
    if (store) {
      out += `${access} = ${width === 1 ? "f16" : `vec${width}h`}(${convertHalves(store[1]!, bindings, widthOf)});`;
      at += store[0].length;
    } else out += `${width === 1 ? "f32" : `vec${width}f`}(${access})`;
  }
  return out + text.slice(at);
}

/** The place of the bracket that closes the one at `open`. */
function closing(text: string, open: number): number {
  let depth = 0;
  for (let i = open; ; i++) {
    if (text[i] === "[") depth++;
    else if (text[i] === "]" && --depth === 0) return i;
  }
}
