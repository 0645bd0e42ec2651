/**
 * Views as strides: a value made from a stored one by views alone is often a plain strided reading of it. Merging axes keeps that only
 * when one steps on where the other ends. Kernels read such operands by offset and strides; others need index arithmetic, or a copy.
 */
import { add, mul, type Size, sameSize } from "../program/size.js";
import type { Node, Value } from "./graph.js";

export interface Strided {
  /** The stored value behind the views: row-major. */
  readonly root: Value;
  /** Elements from one place of each axis to the next; 0 where the axis repeats. */
  readonly strides: readonly Size[];
  readonly offset: Size;
}

/** Whether stepping the outer axis once is stepping the inner one through; axes of size 1 never matter. */
export const collapses = (outer: Size, inner: Size, innerSize: Size): boolean => sameSize(outer, mul(inner, innerSize));

export function rowMajor(shape: readonly Size[]): Size[] {
  const strides: Size[] = new Array(shape.length);
  let step: Size = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step = mul(step, shape[i]!);
  }
  return strides;
}

/** `v` as a strided reading; undefined when its views cannot be said in strides. `made` gives the node of a view, undefined at a root. */
export function strided(v: Value, made: (v: Value) => Node | undefined): Strided | undefined {
  const node = made(v);
  if (!node) return { root: v, strides: rowMajor(v.type.shape), offset: 0 };
  const x = node.inputs[0]!;
  const from = strided(x, made);
  if (!from) return undefined;
  const { axes } = x.type;
  const of = (name: string): Size => from.strides[axes.indexOf(name)] ?? 0;
  switch (node.op) {
    case "rename":
      return from;
    case "transpose":
    case "expand":
      return { ...from, strides: v.type.axes.map(of) };
    case "slice": {
      const axis = node.attrs.axis as string;
      return { ...from, offset: add(from.offset, mul(of(axis), node.attrs.from as number)) };
    }
    case "drop":
      return { ...from, strides: from.strides.filter((_, i) => axes[i] !== node.attrs.axis) };
    case "split": {
      const at = axes.indexOf(node.attrs.axis as string);
      const inner = rowMajor(node.attrs.sizes as readonly Size[]).map((s) => mul(s, from.strides[at]!));
      return { ...from, strides: from.strides.toSpliced(at, 1, ...inner) };
    }
    case "merge": {
      const names = node.attrs.axes as readonly string[];
      const at = axes.indexOf(names[0]!);
      const step = run(from.strides.slice(at, at + names.length), x.type.shape.slice(at, at + names.length));
      return step === undefined ? undefined : { ...from, strides: from.strides.toSpliced(at, names.length, step) };
    }
    default:
      return undefined;
  }
}

/** The one stride of several axes taken together, the last fastest; undefined when they do not run on into each other. */
export function run(strides: readonly Size[], sizes: readonly Size[]): Size | undefined {
  let step: Size | undefined;
  let length: Size = 1;
  for (let i = strides.length - 1; i >= 0; i--) {
    if (sameSize(sizes[i]!, 1)) continue;
    if (step === undefined) step = strides[i]!;
    else if (!collapses(strides[i]!, step, length)) return undefined;
    length = mul(length, sizes[i]!);
  }
  return step ?? 1;
}
