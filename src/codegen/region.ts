/**
 * A region made ready for a kernel: its loops. The result's axes (and, for reductions and dots, the contracted axes) are the loops;
 * neighbouring loops that every access steps through alike are merged into one, so most maps become one flat loop and most dots a plain
 * M·N·K (fold-loops.ts), and rows one loop over rows and one along them (rows.ts).
 */
import type { Fn } from "../ir/graph.js";
import type { RegionKind } from "../ir/region.js";
import { rowMajor as rowMajorStrides, type Window } from "../ir/strides.js";
import type { TensorType } from "../ir/types.js";
import { mul, product, type Size, sameSize } from "../program/size.js";
import { Emitter, Words } from "./emitter.js";
import { type Affine, atom, coefficient, constant, plus, times, zero } from "./index-math.js";

/** One binding of the kernel: the dtype it holds, and whether the kernel may write it. */
export interface Binding {
  readonly dtype: "f32" | "f16" | "i32" | "u32" | "bool";
  readonly access: "read" | "read_write";
  /** Of f16, two in a word, for devices without WGSL's f16: it is never written. */
  readonly packed?: boolean;
}

export interface Region {
  readonly kind: RegionKind;
  readonly body: Fn;
  /** Binding of each body parameter, and of each result. */
  readonly params: readonly number[];
  readonly results: readonly number[];
  /** Where in its binding each result lies, when that is not the whole of it. Maps and ops of their own store so. */
  readonly windows?: readonly (Window | undefined)[];
  readonly bindings: readonly Binding[];
  /** Whether its bindings are whole packs of weights, which end at a multiple of 64 numbers whatever one weight's size. */
  readonly wholePacks?: boolean;
  /** Batch that choices are made for; never a batch that text depends on. */
  readonly batch: number;
}

/** A loop: its variable and how far it runs. */
export interface Loop {
  readonly name: string;
  readonly range: Size;
}

/** Result axes as loops, before merging; counted from the last, so that what is one flat loop has one text whatever its rank. */
export const loopsOf = (prefix: string, shape: readonly Size[]): Loop[] =>
  shape.map((range, i) => ({ name: `${prefix}${shape.length - 1 - i}`, range }));

/** Splits loops into runs that every access steps through as one; `blocked` loops stay alone. */
export function runs(loops: readonly Loop[], accesses: readonly Affine[], blocked: ReadonlySet<string>): Loop[][] {
  const out: Loop[][] = [];
  for (const loop of loops) {
    if (sameSize(loop.range, 1)) continue;
    const run = out.at(-1);
    const previous = run?.at(-1);
    const joins =
      previous &&
      !blocked.has(loop.name) &&
      !blocked.has(previous.name) &&
      accesses.every((a) => sameSize(coefficient(a, previous.name), mul(coefficient(a, loop.name), loop.range)));
    if (run && joins) run.push(loop);
    else out.push([loop]);
  }
  return out;
}

/** Merged loops, and what each original loop's coordinate is in terms of them (all but the last of a run vanish). */
export function mergeRuns(groups: readonly (readonly Loop[])[]): { loops: Loop[]; at: Map<string, Affine> } {
  const at = new Map<string, Affine>();
  const loops = groups.map((run) => {
    const last = run.at(-1)!;
    const merged: Loop = { name: last.name, range: product(run.map((l) => l.range)) };
    at.set(last.name, atom(merged));
    return merged;
  });
  return { loops, at };
}

export const rowMajor = (loops: readonly Loop[]): Affine =>
  loops.reduce((index, l) => plus(times(index, l.range), atom(l)), zero);

/** Index of a result at these coordinates: its own row-major place, or that in its window. */
export function resultIndex(region: Region, k: number, type: TensorType, coords: readonly Affine[]): Affine {
  const window = region.windows?.[k];
  const strides = window?.strides ?? rowMajorStrides(type.shape);
  return coords.reduce((index, c, i) => plus(index, times(c, strides[i]!)), constant(window?.offset ?? 0));
}

export interface MapLoops {
  readonly loops: readonly Loop[];
  readonly lines: readonly string[];
  /** WGSL value of each result, and its index; undefined for the number of the element. */
  readonly values: readonly string[];
  readonly places: readonly (string | undefined)[];
  readonly windows: readonly (Affine | undefined)[];
  readonly emitter: Emitter;
  readonly words: Words;
}

/** A map's loops, merged, and its body at them. */
export function mapLoops(region: Region): MapLoops {
  const results = region.body.results.map((r) => r.value);
  const loops = loopsOf("i", results[0]!.type.shape);
  const binding = (param: number) => `b${region.params[param]}`;
  const emit = (at: (l: Loop) => Affine) => {
    const words = new Words();
    const emitter = new Emitter(region.body, words, binding);
    const coords = loops.map(at);
    const values = results.map((v) => emitter.at(v, coords));
    const windows = results.map((v, k) => (region.windows?.[k] ? resultIndex(region, k, v.type, coords) : undefined));
    return { words, emitter, values, windows };
  };
  const dry = emit(atom);
  const accesses = [...dry.emitter.loads.map((l) => l.index), ...dry.windows.filter((w) => w !== undefined), rowMajor(loops)];
  const merged = mergeRuns(runs(loops, accesses, dry.emitter.pinned));
  const { words, emitter, values, windows } = emit((l) => merged.at.get(l.name) ?? zero);
  const places = windows.map((w) => w && emitter.printIndex(w));
  return { loops: merged.loops, lines: emitter.lines, values, places, windows, emitter, words };
}

/** The name that `decode` gives what is left of `from` once its fastest loop is taken out. */
export const quotientOf = (loops: readonly Loop[], from: string): string => `${from}_${loops.length - 1}`;

/** WGSL that takes a linear number apart into loop variables, the last loop fastest. */
export function decode(
  loops: readonly Loop[],
  from: string,
  size: (s: Size) => string,
  declare: (name: string, text: string) => string,
): string[] {
  if (loops.length === 0) return [];
  const lines: string[] = [];
  let rest = from;
  for (let i = loops.length - 1; i > 0; i--) {
    const by = size(loops[i]!.range);
    const next = quotientOf(loops.slice(0, i + 1), from);
    // One division a loop: the remainder follows from the quotient.
    lines.push(`let ${next} = ${rest} / ${by};`);
    lines.push(declare(loops[i]!.name, `${rest} - ${next} * ${by}`));
    rest = next;
  }
  lines.push(declare(loops[0]!.name, rest));
  return lines;
}
