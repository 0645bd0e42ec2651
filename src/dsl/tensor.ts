/**
 * `Tensor<A, D>`: what a model file computes with. The type says the names of the axes, in memory order, and the dtype; the methods
 * say what may be done. Everything is by name, nothing by position: `x.mul(shift)` repeats `shift` along the axes it lacks.
 * A refused call says why in terms of axes, at the argument (axes.ts); sizes are checked when the graph is built.
 */
import type { DType, TensorType } from "../ir/types.js";
import type { Size } from "../program/size.js";
import type { Binary, Drop, Expand, Fit, Has, Merge, Names, Refused, Rename, Repeat, Split, Transpose } from "./axes.js";
import type { Holds } from "./trace.js";

/** A tensor whose axes and dtype are not known by type: what lists and records of tensors hold. `named` gives the type back. */
export interface AnyTensor extends Holds {
  readonly axes: string;
  readonly dtype: DType;
  readonly type: TensorType;
}

/** The tensor type a rule gives. A refused call is `any`, so that one mistake is one message and not a trail of them. */
// biome-ignore lint/suspicious/noExplicitAny: only where the argument was refused already
export type Of<R, D extends DType> = R extends string ? Tensor<R, D> : any;

type Numeric<A extends string, D extends DType> = D extends "bool"
  ? Refused<"bool tensors have no arithmetic; use where, and, or, not, or cast">
  : Tensor<A, D>;
type Floating<A extends string, D extends DType> = D extends "f32" | "f16"
  ? Tensor<A, D>
  : Refused<`this needs f32 or f16, not ${D}; use cast`>;
type Logical<A extends string, D extends DType> = D extends "bool"
  ? Tensor<A, D>
  : Refused<`this needs bool, not ${D}; compare first`>;

/** The first signature is what generic helpers see: numbers, and tensors of the very same axes. */
export interface Arithmetic<A extends string, D extends DType> {
  (this: Numeric<A, D>, other: number | Tensor<A, D>): Tensor<A, D>;
  <B extends string, E extends DType>(
    this: Numeric<A, D>,
    other: Fit<Binary<A, D, B, E>, Tensor<B, E>>,
  ): Of<Binary<A, D, B, E>, D>;
}
export interface Comparison<A extends string, D extends DType> {
  (this: Numeric<A, D>, other: number | Tensor<A, D>): Tensor<A, "bool">;
  <B extends string, E extends DType>(
    this: Numeric<A, D>,
    other: Fit<Binary<A, D, B, E>, Tensor<B, E>>,
  ): Of<Binary<A, D, B, E>, "bool">;
}
export interface Logic<A extends string, D extends DType> {
  (this: Logical<A, D>, other: Tensor<A, D>): Tensor<A, D>;
  <B extends string, E extends DType>(
    this: Logical<A, D>,
    other: Fit<Binary<A, D, B, E>, Tensor<B, E>>,
  ): Of<Binary<A, D, B, E>, D>;
}
type Elementwise<A extends string, D extends DType> = (this: Floating<A, D>) => Tensor<A, D>;

/** Sizes of named axes. "batch" is symbolic and may be left out; sizes of other names are ignored, so that one record serves many. */
export type Sizes<A extends string> = { readonly [K in Exclude<Names<A>, "batch">]: number } & { readonly batch?: Size };

export interface Tensor<in out A extends string, in out D extends DType = "f32"> extends AnyTensor {
  readonly axes: A;
  readonly dtype: D;

  add: Arithmetic<A, D>;
  sub: Arithmetic<A, D>;
  mul: Arithmetic<A, D>;
  div: Arithmetic<A, D>;
  maximum: Arithmetic<A, D>;
  minimum: Arithmetic<A, D>;

  lt: Comparison<A, D>;
  le: Comparison<A, D>;
  gt: Comparison<A, D>;
  ge: Comparison<A, D>;
  eq: Comparison<A, D>;

  and: Logic<A, D>;
  or: Logic<A, D>;
  not(this: Logical<A, D>): Tensor<A, D>;

  neg(this: Numeric<A, D>): Tensor<A, D>;
  abs(this: Numeric<A, D>): Tensor<A, D>;
  square(this: Numeric<A, D>): Tensor<A, D>;
  exp: Elementwise<A, D>;
  /** e^x - 1, accurate near 0. */
  expm1: Elementwise<A, D>;
  log: Elementwise<A, D>;
  sqrt: Elementwise<A, D>;
  /** 1 / √x. */
  rsqrt: Elementwise<A, D>;
  tanh: Elementwise<A, D>;
  sigmoid: Elementwise<A, D>;
  reciprocal: Elementwise<A, D>;
  /** false where x is infinite or not a number. */
  isFinite(this: Floating<A, D>): Tensor<A, "bool">;

  cast<E extends DType>(dtype: E): Tensor<A, E>;

  /** Other names for axes: `k.rename({ token: "key" })`. */
  rename<const M extends Readonly<Record<string, string>>>(names: Fit<Rename<A, M>, M>): Of<Rename<A, M>, D>;
  /** The same axes in another order. */
  transpose<const To extends string>(axes: Fit<Transpose<A, To>, To>): Of<Transpose<A, To>, D>;
  /** Repeats along the axes of `axes` that this tensor lacks; `axes` is the order of the result. */
  expand<const To extends string>(
    axes: Fit<Expand<A, To>, To>,
    sizes: { readonly [K in Exclude<Names<To>, Names<A>>]: Size },
  ): Of<Expand<A, To>, D>;
  /** One axis as several, the last of them fastest; one size may be left out. `qkv.split("qkv", "three head width", { three: 3, head: 6 })` */
  split<const K extends string, const Into extends string>(
    axis: Fit<Split<A, K, Into>, K>,
    into: Into,
    sizes: { readonly [N in Names<Into>]?: number },
  ): Of<Split<A, K, Into>, D>;
  /** Neighbouring axes as one: `x.merge("head width", "hidden")`. */
  merge<const K extends string, const Into extends string>(axes: Fit<Merge<A, K, Into>, K>, into: Into): Of<Merge<A, K, Into>, D>;
  /** The part [from, to) of an axis. */
  slice<const K extends string>(axis: Fit<Has<A, K>, K>, from: number, to: number): Tensor<A, D>;
  /** One place of an axis; the axis goes away. */
  select<const K extends string>(axis: Fit<Drop<A, K>, K>, index: number): Of<Drop<A, K>, D>;
  /** All places of an axis, as tensors without it. Told how many, it gives a tuple: `const [q, k, v] = qkv.unbind("three", 3)`. */
  unbind<const K extends string, const N extends number = number>(
    axis: Fit<Drop<A, K>, K>,
    count?: N,
  ): Repeat<Of<Drop<A, K>, D>, N>;
  /** The places of an axis in the opposite order. */
  reverse<const K extends string>(axis: Fit<Has<A, K>, K>): Tensor<A, D>;
  /** Zeros before and after. */
  pad<const K extends string>(axis: Fit<Has<A, K>, K>, before: number, after: number): Tensor<A, D>;

  /** The size of an axis. "batch" has none until the program is loaded. */
  size<const K extends string>(axis: Fit<Has<A, K>, K>): number;
  readonly sizes: Readonly<Record<string, Size>>;
}
