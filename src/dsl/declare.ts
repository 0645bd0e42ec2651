/**
 * What a model declares while it runs: inputs, parameters, tables of numbers, random draws, and the two layers that own parameters.
 * Parameter names are the keys of the state dict, so that published checkpoints load without a map.
 */
import type { DType } from "../ir/types.js";
import { tensorType } from "../ir/types.js";
import { normalTable } from "../program/random.js";
import { B, product } from "../program/size.js";
import type { Fit, Gather, Linear } from "./axes.js";
import { dot, gather, typeOf } from "./functions.js";
import { type Init, type InitOf, init } from "./init.js";
import { valueIn, words, wrap } from "./methods.js";
import { refuse } from "./sites.js";
import type { AnyTensor, Of, Sizes, Tensor } from "./tensor.js";
import { declare, declareParam, declareTable, drawsAreInputs, emit } from "./trace.js";

/** The size of the batch axis: a symbol until the program is loaded. */
export const batch = B;

/** A tensor handed in at each call ("input") or carried from call to call ("state"). */
export function input<const A extends string, D extends DType = "f32">(
  name: string,
  axes: A,
  sizes: Sizes<A>,
  dtype?: D,
  kind: "input" | "state" = "input",
): Tensor<A, NoInfer<D>> {
  return wrap(declare(name, kind, typeOf(axes, sizes, dtype ?? "f32")));
}

export interface ParamOptions {
  /** false: in the state dict, but no gradient and no update. */
  readonly trainable?: boolean;
}

/** A weight. `param("pos_embed", "token hidden", { token: 256, hidden: 384 }, init.table(numbers), { trainable: false })` */
export function param<const A extends string>(
  name: string,
  axes: A,
  sizes: Sizes<A>,
  start: Init | InitOf,
  options: ParamOptions = {},
): Tensor<A> {
  const type = typeOf(axes, sizes, "f32");
  const rule = typeof start === "function" ? start(type) : start;
  if (rule.rule === "table" && rule.data.length !== product(type.shape))
    wrongLength(`parameter "${name}"`, rule.data.length, type.shape);
  return wrap(declareParam({ name, type, init: rule, trainable: options.trainable ?? true }));
}

/** Numbers computed when compiling (f64, stored as `dtype`), row-major. */
export function table<const A extends string, D extends DType = "f32">(
  name: string,
  axes: A,
  sizes: Sizes<A>,
  data: Float64Array,
  dtype?: D,
): Tensor<A, NoInfer<D>> {
  const type = typeOf(axes, sizes, dtype ?? "f32");
  if (data.length !== product(type.shape)) wrongLength(`table "${name}"`, data.length, type.shape);
  return wrap(declareTable(name, type, data));
}

function wrongLength(what: string, length: number, shape: readonly unknown[]): never {
  const needed = product(shape as number[]);
  const text = shape.length === 1 ? String(needed) : `${shape.join(" × ")} = ${needed}`;
  return refuse("DIT2005", `${what} has ${length} numbers, its axes need ${text}`, { help: "mend the numbers or the sizes" });
}

/** Where a draw stands among all draws: its numbers follow from this and its name alone. */
export interface DrawKey {
  readonly seed: Tensor<"", "u32">;
  readonly step: Tensor<"", "i32">;
  /** Global index of the first sample of the batch. */
  readonly first: Tensor<"", "i32">;
}

function drawn<A extends string, D extends DType>(
  name: string,
  kind: string,
  type: ReturnType<typeof typeOf<D>>,
  key: DrawKey,
  p: number,
  below: number,
): Tensor<A, D> {
  if (drawsAreInputs()) return wrap(declare(name, "input", type));
  const operands = [key.seed, key.step, key.first].map((x) => valueIn("draw", x));
  if (kind === "normal") operands.push(normals());
  return wrap(emit("draw", operands, { name, kind, p, below, type }));
}

/** The inverse of the normal distribution, as integers: one table serves all draws of a program. */
function normals() {
  const data = Float64Array.from(normalTable());
  return declareTable("draw.normal_table", tensorType("i32", ["entry"], [data.length]), data);
}

/** Random numbers, the same on every adapter and at any batch size. The first axis counts samples. Each draw has a name of its own. */
export const draw = {
  normal: <const A extends string>(name: string, axes: A, sizes: Sizes<A>, key: DrawKey): Tensor<A> =>
    drawn(name, "normal", typeOf(axes, sizes, "f32"), key, 0, 0),
  /** 0 … below - 1. */
  int: <const A extends string>(name: string, axes: A, sizes: Sizes<A>, below: number, key: DrawKey): Tensor<A, "i32"> =>
    drawn(name, "int", typeOf(axes, sizes, "i32"), key, 0, below),
  /** True with probability p. */
  bernoulli: <const A extends string>(name: string, axes: A, sizes: Sizes<A>, p: number, key: DrawKey): Tensor<A, "bool"> =>
    (drawn(name, "bernoulli", typeOf(axes, sizes, "i32"), key, p, 0) as Tensor<string, "i32">).gt(0) as unknown as Tensor<
      A,
      "bool"
    >,
} as const;

export interface LinearOptions {
  readonly init?: Init | InitOf;
  /** false: no bias. */
  readonly bias?: boolean;
}

/**
 * y = W x + b over the axes `from`; `to` names the new axis and its size. Declares `name.weight`, [out, in…], and `name.bias`, [out].
 * When both axes have one name (hidden → hidden), the weight's second is called `hidden_in`.
 */
export function linear<A extends string, const K extends string, const To extends Readonly<Record<string, number>>>(
  x: Tensor<A>,
  from: Fit<Linear<A, K, keyof To & string>, K>,
  to: To,
  name: string,
  options: LinearOptions = {},
): Of<Linear<A, K, keyof To & string>, "f32"> {
  const [[out, size] = ["", 0], more] = Object.entries(to);
  if (more || !out)
    refuse("DIT2005", `linear "${name}" makes one axis, { ${Object.keys(to).join(", ")} } names ${Object.keys(to).length}`);
  const own = wrap(valueIn("linear", x));
  const clash = words(from as string).includes(out);
  const value: Tensor<string> = clash ? wrap((own.rename({ [out]: `${out}_in` }) as AnyTensor).value) : own;
  const names = words(from as string).map((n) => (n === out ? `${out}_in` : n));
  const sizes = { ...Object.fromEntries(names.map((n) => [n, value.size(n)])), [out]: size };
  const weight: Tensor<string> = param(`${name}.weight`, [out, ...names].join(" "), sizes, options.init ?? init.xavierUniform());
  const y: AnyTensor = dot<string, string, string, "f32", "f32">(value, weight, names.join(" "));
  const bias = (): Tensor<string> => param(`${name}.bias`, out, { [out]: size }, init.zeros);
  return (options.bias === false ? y : wrap(y.value).add(bias())) as Of<Linear<A, K, keyof To & string>, "f32">;
}

/** A row of the parameter `name.weight` per number: `embedding(y, "class hidden", { class: 1001, hidden }, "y_embedder.embedding_table")`. */
export function embedding<
  I extends string,
  const A extends string,
  const K extends string = A extends `${infer First} ${string}` ? First : A,
>(
  index: Tensor<I, "i32">,
  axes: Fit<Gather<A, I, K>, A>,
  sizes: Sizes<A>,
  name: string,
  start: Init | InitOf = init.normal(0.02),
): Of<Gather<A, I, K>, "f32"> {
  const weight: Tensor<string> = param(`${name}.weight`, axes as string, sizes, start);
  const row: AnyTensor = gather<string, I, string, "f32">(weight, index, words(axes as string)[0] as never);
  return row as Of<Gather<A, I, K>, "f32">;
}
