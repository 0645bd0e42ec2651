/**
 * Types of the graph IR. A tensor type is a dtype and its axes in memory order, each with a name and a size. Names are meaning, not
 * decoration: `dot` contracts over names, a binary op demands equal names, and a name stands at most once in a type.
 */
import { printSize, product, type Size, sameSize } from "../program/size.js";

export type DType = "f32" | "f16" | "i32" | "u32" | "bool";

export const dtypes: readonly DType[] = ["f32", "f16", "i32", "u32", "bool"];

export interface TensorType {
  readonly dtype: DType;
  readonly axes: readonly string[];
  readonly shape: readonly Size[];
}

export const tensorType = (dtype: DType, axes: readonly string[], shape: readonly Size[]): TensorType => ({ dtype, axes, shape });

/** Number of elements. */
export const numel = (t: TensorType): Size => product(t.shape);

/** Size of the axis called `name`, undefined when there is none. */
export const sizeOf = (t: TensorType, name: string): Size | undefined => {
  const i = t.axes.indexOf(name);
  return i < 0 ? undefined : t.shape[i];
};

export const sameShape = (a: TensorType, b: TensorType): boolean =>
  a.axes.length === b.axes.length && a.axes.every((name, i) => name === b.axes[i] && sameSize(a.shape[i]!, b.shape[i]!));

export const sameType = (a: TensorType, b: TensorType): boolean => a.dtype === b.dtype && sameShape(a, b);

/** `f32[batch: B, token: 256]`, as the IR text and the diagnostics show it. */
export const printType = (t: TensorType): string =>
  `${t.dtype}[${t.axes.map((name, i) => `${name}: ${printSize(t.shape[i]!)}`).join(", ")}]`;
