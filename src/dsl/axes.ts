/**
 * The algebra of axis names, in types: what TypeScript itself checks in a model file. A tensor's axes are one string of words,
 * `"batch token hidden"`; every function here takes such strings and gives the result's axes, or a `Refused` sentence that names
 * the axes at fault. The sentence stands where the argument's type would be, so that the editor shows it at the argument.
 * Sizes are no part of it: they come from the config when the graph is built.
 *
 *     Dot<"batch token hidden", "mlp hidden", "hidden">  =  "batch token mlp"
 *     Drop<"batch token", "tokens">                      =  Refused<"no axis tokens in [batch token]">
 */
import type { DType } from "../ir/types.js";

/** No value has this type: the argument is refused, for the reason given. Written out at each use: TypeScript would print an alias by its name. */
export interface Refused<Reason extends string> {
  readonly "refused because": Reason;
}

/**
 * The type of an argument: `T` when the rule `R` gave axes, the refusal otherwise. TypeScript infers `T` from the branches of the
 * condition; `R` is no branch but inferred, or else its own type parameters would be taken for the argument's type.
 */
export type Fit<R, T> = [R] extends [infer X extends Refused<string>] ? X : T;

export type Words<S extends string> = S extends "" ? [] : S extends `${infer A} ${infer R}` ? [A, ...Words<R>] : [S];
export type Names<S extends string> = Words<S>[number];
type Join<T extends readonly string[]> = T extends readonly [infer A extends string, ...infer R extends string[]]
  ? R extends []
    ? A
    : `${A} ${Join<R>}`
  : "";
type Without<T extends readonly string[], X extends string> = T extends readonly [
  infer A extends string,
  ...infer R extends string[],
]
  ? A extends X
    ? Without<R, X>
    : [A, ...Without<R, X>]
  : [];

type Outside<T extends readonly string[], X extends string> = T extends readonly [
  infer A extends string,
  ...infer R extends string[],
]
  ? A extends X
    ? Outside<R, X>
    : A
  : never;
/** The first name of K that A lacks; never when A has them all. One name, since a union would print as many sentences. */
type Lack<A extends string, K extends string> = Outside<Words<K>, Names<A>>;

type Twice<T extends readonly string[], Seen extends string = never> = T extends readonly [
  infer A extends string,
  ...infer R extends string[],
]
  ? A extends Seen
    ? A
    : Twice<R, Seen | A>
  : never;
/** Axes in which every name stands once. */
type Once<S extends string> = [Twice<Words<S>>] extends [never]
  ? S
  : Refused<`${Twice<Words<S>>} would stand twice in [${S}]; rename one of them`>;

/** K, all of whose names are axes of A. */
export type Has<A extends string, K extends string> = [Lack<A, K>] extends [never]
  ? K
  : Refused<`no axis ${Lack<A, K>} in [${A}]`>;

/** A binary op: one side's names are among the other's; the larger side's order wins, the left's when they are equal. */
export type Both<A extends string, B extends string> = [Lack<A, B>] extends [never]
  ? A
  : [Lack<B, A>] extends [never]
    ? B
    : Refused<`[${A}] lacks axis ${Lack<A, B>}, and [${B}] lacks axis ${Lack<B, A>}`>;

export type SameDType<D extends DType, E extends DType> = [E] extends [D] ? E : Refused<`dtypes differ: ${D} and ${E}; use cast`>;
export type Binary<A extends string, D extends DType, B extends string, E extends DType> =
  SameDType<D, E> extends Refused<string> ? SameDType<D, E> : Both<A, B>;

/** Contraction over the names K: the rest of the left, then the rest of the right; other shared names are batch axes. */
export type Dot<A extends string, B extends string, K extends string> = [Lack<A, K>] extends [never]
  ? [Lack<B, K>] extends [never]
    ? Join<[...Without<Words<A>, Names<K>>, ...Without<Words<B>, Names<K> | Names<A>>]>
    : Refused<`no axis ${Lack<B, K>} on the right, in [${B}]`>
  : Refused<`no axis ${Lack<A, K>} on the left, in [${A}]`>;

/** A without the names K: reductions, select, unbind. */
export type Drop<A extends string, K extends string> = [Lack<A, K>] extends [never]
  ? Join<Without<Words<A>, Names<K>>>
  : Refused<`no axis ${Lack<A, K>} in [${A}]`>;

type Renamed<T extends readonly string[], M> = T extends readonly [infer A extends string, ...infer R extends string[]]
  ? [A extends keyof M ? M[A] & string : A, ...Renamed<R, M>]
  : [];
export type Rename<A extends string, M> = [Exclude<keyof M & string, Names<A>>] extends [never]
  ? Once<Join<Renamed<Words<A>, M>>>
  : Refused<`no axis ${Exclude<keyof M & string, Names<A>>} in [${A}]`>;

export type Transpose<A extends string, To extends string> = [Lack<A, To>] extends [never]
  ? [Lack<To, A>] extends [never]
    ? Once<To>
    : Refused<`[${To}] leaves out axis ${Lack<To, A>} of [${A}]`>
  : Refused<`no axis ${Lack<A, To>} in [${A}]`>;

/** A repeated along new axes; To is the order of the result. */
export type Expand<A extends string, To extends string> = [Lack<To, A>] extends [never]
  ? Once<To>
  : Refused<`[${To}] leaves out axis ${Lack<To, A>} of [${A}]`>;

type Splice<T extends readonly string[], K extends string, Into extends readonly string[]> = T extends readonly [
  infer A extends string,
  ...infer R extends string[],
]
  ? A extends K
    ? [...Into, ...R]
    : [A, ...Splice<R, K, Into>]
  : [];
export type Split<A extends string, K extends string, Into extends string> = [Lack<A, K>] extends [never]
  ? Once<Join<Splice<Words<A>, K, Words<Into>>>>
  : Refused<`no axis ${Lack<A, K>} in [${A}]`>;

type MergeAt<
  T extends readonly string[],
  K extends readonly string[],
  Into extends string,
  Before extends readonly string[] = [],
> = T extends readonly [...K, ...infer R extends string[]]
  ? [...Before, Into, ...R]
  : T extends readonly [infer A extends string, ...infer R extends string[]]
    ? MergeAt<R, K, Into, [...Before, A]>
    : never;
export type Merge<A extends string, K extends string, Into extends string> = [Lack<A, K>] extends [never]
  ? [MergeAt<Words<A>, Words<K>, Into>] extends [never]
    ? Refused<`[${K}] do not stand side by side, in this order, in [${A}]; transpose first`>
    : Once<Join<MergeAt<Words<A>, Words<K>, Into>>>
  : Refused<`no axis ${Lack<A, K>} in [${A}]`>;

/** Reading a table by number: the index's axes, then the table's without the one that was indexed. */
export type Gather<T extends string, I extends string, K extends string> = [Lack<T, K>] extends [never]
  ? Once<Join<[...Words<I>, ...Without<Words<T>, K>]>>
  : Refused<`no axis ${Lack<T, K>} in the table [${T}]`>;

/** A with its axis K taken away and a new one at the end: a linear layer. */
export type Linear<A extends string, K extends string, Out extends string> = [Lack<A, K>] extends [never]
  ? Once<Join<[...Without<Words<A>, Names<K>>, Out]>>
  : Refused<`no axis ${Lack<A, K>} in [${A}]`>;

/** `where`: condition, then the two choices; a number fits everywhere. */
export type Where<C extends string, A extends string, B extends string> =
  Both<C, A> extends infer R ? (R extends string ? Both<R, B> : R) : never;

/** `Count` times T: what `unbind` gives when it is told how many. */
export type Repeat<T, Count extends number, Done extends readonly T[] = []> = number extends Count
  ? readonly T[]
  : Done["length"] extends Count
    ? Done
    : Repeat<T, Count, readonly [...Done, T]>;
