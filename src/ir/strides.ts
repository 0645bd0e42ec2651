/**
 * Views as strides: a value made from a stored one by views alone is often a plain strided reading of it. Merging axes keeps that only
 * when one steps on where the other ends. Kernels read such operands by offset and strides; others need index arithmetic, or a copy.
 */
import { add, mul, type Size, sameSize } from "../program/size.js";
import type { Node, Value } from "./graph.js";
import { sizeOf } from "./types.js";

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

/** Where the elements of a value lie in a larger one: a place of each axis is so many elements on. */
export interface Window {
  readonly offset: Size;
  readonly strides: readonly Size[];
}

/**
 * The values that a concat puts together, behind their views and the concats among them, each with its window in the whole: whoever makes
 * one can store it there, and the concat is no work. Undefined when a view cannot be looked through this way. `made` gives the node of a
 * view or of a concat to look through, undefined at a root.
 */
export function windowsOf(
  concat: Node,
  made: (v: Value) => Node | undefined,
  whole: Window = { offset: 0, strides: rowMajor(concat.outputs[0]!.type.shape) },
): readonly { readonly root: Value; readonly window: Window }[] | undefined {
  const axis = concat.attrs.axis as string;
  const step = whole.strides[concat.outputs[0]!.type.axes.indexOf(axis)]!;
  let before: Size = 0;
  const found = concat.inputs.map((v) => {
    let [root, window]: [Value, Window | undefined] = [v, { ...whole, offset: add(whole.offset, mul(before, step)) }];
    before = add(before, sizeOf(v.type, axis)!);
    for (let node = made(root); node && window; node = made(root)) {
      if (node.op === "concat") return windowsOf(node, made, window);
      window = behind(node, window);
      root = node.inputs[0]!;
    }
    return window && [{ root, window }];
  });
  return found.every((f) => f !== undefined) ? found.flat() : undefined;
}

/** Where the operand of a view lies, when its result lies in this window. */
function behind(view: Node, { offset, strides }: Window): Window | undefined {
  const [x, y] = [view.inputs[0]!.type, view.outputs[0]!.type];
  switch (view.op) {
    case "rename":
      return { offset, strides };
    case "expand":
      if (y.axes.some((a, i) => !x.axes.includes(a) && !sameSize(y.shape[i]!, 1))) return undefined;
      return { offset, strides: x.axes.map((a) => strides[y.axes.indexOf(a)]!) };
    case "transpose":
      return { offset, strides: x.axes.map((a) => strides[y.axes.indexOf(a)]!) };
    case "drop":
      return { offset, strides: strides.toSpliced(x.axes.indexOf(view.attrs.axis as string), 0, 0) };
    case "merge": {
      const names = view.attrs.axes as readonly string[];
      const at = x.axes.indexOf(names[0]!);
      const inner = rowMajor(x.shape.slice(at, at + names.length)).map((s) => mul(s, strides[at]!));
      return { offset, strides: strides.toSpliced(at, 1, ...inner) };
    }
    case "split": {
      const at = x.axes.indexOf(view.attrs.axis as string);
      const count = (view.attrs.into as readonly string[]).length;
      const step = run(strides.slice(at, at + count), y.shape.slice(at, at + count));
      return step === undefined ? undefined : { offset, strides: strides.toSpliced(at, count, step) };
    }
    default:
      return undefined;
  }
}
