/** Functions of the language on one or several tensors. What is more than one op here traces to primitives; passes find it again. */
import type { DType } from "../ir/types.js";
import { sizeOf, tensorType } from "../ir/types.js";
import type { Size } from "../program/size.js";
import type { Dot, Drop, Fit, Gather, Has, SameDType, Where } from "./axes.js";
import { alignWhere, fill as fillValue } from "./broadcast.js";
import { operand, valueIn, words, wrap } from "./methods.js";
import { refuse } from "./sites.js";
import type { AnyTensor, Of, Sizes, Tensor } from "./tensor.js";
import { emit } from "./trace.js";

type Float = "f32" | "f16";

/** Contracts over the axes `over`; other axes that both sides have are batch axes. `dot(x, w, "hidden")` */
export function dot<A extends string, B extends string, const K extends string, D extends DType, E extends DType>(
  left: Tensor<A, D>,
  right: Fit<SameDType<D, E>, Tensor<B, E>>,
  over: Fit<Dot<A, B, K>, K>,
): Of<Dot<A, B, K>, D> {
  const operands = [valueIn("dot", left), valueIn("dot", right)];
  const help =
    "an axis that both sides have is contracted or a batch axis, and must have one size; rename it on one side otherwise";
  return wrap<string, D>(emit("dot", operands, { over: words(over as string) }, help)) as Of<Dot<A, B, K>, D>;
}

export function sum<A extends string, const K extends string, D extends DType>(
  x: Tensor<A, D>,
  over: Fit<Drop<A, K>, K>,
): Of<Drop<A, K>, D> {
  return wrap<string, D>(emit("sum", [valueIn("sum", x)], { over: words(over as string) })) as Of<Drop<A, K>, D>;
}

/** The arithmetic mean. Over the batch, the count is itself a sum of the graph. */
export function mean<A extends string, const K extends string, D extends Float>(
  x: Tensor<A, D>,
  over: Fit<Drop<A, K>, K>,
): Of<Drop<A, K>, D> {
  const value = valueIn("mean", x);
  const names = words(over as string);
  const total = wrap(emit("sum", [value], { over: names }));
  const symbolic = names.filter((name) => typeof sizeOf(value.type, name) !== "number");
  const count = names.reduce((n, name) => n * (symbolic.includes(name) ? 1 : (sizeOf(value.type, name) as number)), 1);
  if (symbolic.length === 0) return total.mul(1 / count) as Of<Drop<A, K>, D>;
  const ones = fillValue(
    count,
    tensorType(
      value.type.dtype,
      symbolic,
      symbolic.map((name) => sizeOf(value.type, name)!),
    ),
  );
  return total.div(wrap(emit("sum", [ones], { over: symbolic }))) as Of<Drop<A, K>, D>;
}

export function max<A extends string, const K extends string, D extends DType>(
  x: Tensor<A, D>,
  over: Fit<Drop<A, K>, K>,
): Of<Drop<A, K>, D> {
  return wrap<string, D>(emit("max", [valueIn("max", x)], { over: words(over as string) })) as Of<Drop<A, K>, D>;
}

/** x as a constant: no gradient flows through. */
export function stopGradient<A extends string, D extends DType>(x: Tensor<A, D>): Tensor<A, D> {
  return wrap(emit("stop_gradient", [valueIn("stopGradient", x)]));
}

/** Sums to 1 along `over`. The maximum is taken off first, as a constant: it cancels, and nothing overflows. */
export function softmax<A extends string, const K extends string, D extends Float>(
  x: Tensor<A, D>,
  over: Fit<Drop<A, K>, K>,
): Tensor<A, D> {
  const t = loose(x);
  const peak = loose(max(t, over as string));
  const e = t.sub(stopGradient(peak)).exp();
  return typed(e.div(loose(sum(e, over as string))));
}

/** Layer norm without scale and shift: mean 0 and variance 1 along `over`, in two passes, biased variance. */
export function normalize<A extends string, const K extends string, D extends Float>(
  x: Tensor<A, D>,
  over: Fit<Drop<A, K>, K>,
  eps = 1e-6,
): Tensor<A, D> {
  const t = loose(x);
  const centred = t.sub(loose(mean(t, over as string)));
  const variance = loose(mean(centred.square(), over as string));
  return typed(centred.mul(variance.add(eps).rsqrt()));
}

/** x · sigmoid(x). */
export function silu<A extends string, D extends Float>(x: Tensor<A, D>): Tensor<A, D> {
  return wrap(emit("silu", [valueIn("silu", x)]));
}

/** 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))). */
export function gelu<A extends string, D extends Float>(x: Tensor<A, D>): Tensor<A, D> {
  return wrap(emit("gelu", [valueIn("gelu", x)]));
}

type AxesOf<X> = X extends { readonly axes: infer A extends string } ? A : "";
type DTypeOf<X, Y> = X extends { readonly dtype: infer D extends DType }
  ? D
  : Y extends { readonly dtype: infer E extends DType }
    ? E
    : "f32";

/** a where the condition holds, b elsewhere; either may be a number. */
export function where<C extends string, X extends number | AnyTensor, Y extends number | AnyTensor>(
  cond: Tensor<C, "bool">,
  a: Fit<Where<C, AxesOf<X>, AxesOf<Y>>, X>,
  b: Fit<SameDType<DTypeOf<X, Y>, DTypeOf<Y, X>>, Y>,
): Of<Where<C, AxesOf<X>, AxesOf<Y>>, DTypeOf<X, Y>> {
  const [c, x, y] = alignWhere(valueIn("where", cond), operand("where", a), operand("where", b));
  return wrap<string, DType>(emit("where", [c, x, y])) as Of<Where<C, AxesOf<X>, AxesOf<Y>>, DTypeOf<X, Y>>;
}

/** Tensors one after another along `axis`; their other axes are the same. */
export function concat<A extends string, const K extends string, D extends DType>(
  parts: readonly Tensor<A, D>[],
  axis: Fit<Has<A, K>, K>,
): Tensor<A, D> {
  const values = parts.map((x) => valueIn("concat", x));
  return values.length === 1 ? wrap(values[0]!) : wrap(emit("concat", values, { axis: axis as string }));
}

/** Rows of a table by number: the index's axes, then the table's without `axis`. */
export function gather<A extends string, I extends string, const K extends string, D extends DType>(
  source: Tensor<A, D>,
  index: Tensor<I, "i32">,
  axis: Fit<Gather<A, I, K>, K>,
): Of<Gather<A, I, K>, D> {
  const operands = [valueIn("gather", source), valueIn("gather", index)];
  return wrap<string, D>(emit("gather", operands, { axis: axis as string })) as Of<Gather<A, I, K>, D>;
}

/** 0, 1, 2, … along an axis of its own. */
export function iota<const K extends string>(axis: K, size: Size): Tensor<K, "i32"> {
  return wrap(emit("iota", [], { axis, type: tensorType("i32", [axis], [size]) }));
}

/** One number everywhere. */
export function fill<const A extends string, D extends DType = "f32">(
  value: number,
  axes: A,
  sizes: Sizes<A>,
  dtype?: D,
): Tensor<A, NoInfer<D>> {
  return wrap(fillValue(value, typeOf(axes, sizes, dtype ?? "f32")));
}

export function scalar<D extends DType = "f32">(value: number, dtype?: D): Tensor<"", NoInfer<D>> {
  return wrap(fillValue(value, tensorType(dtype ?? "f32", [], [])));
}

/** Claims the axes of a tensor whose type does not say them; checked when the graph is built. */
export function named<const A extends string, D extends DType = "f32">(x: AnyTensor, axes: A, dtype?: D): Tensor<A, NoInfer<D>> {
  const value = valueIn("named", x);
  const wanted = dtype ?? "f32";
  if (x.axes !== axes || x.dtype !== wanted) refuse("DIT1206", `expected ${wanted} [${axes}], found ${x.dtype} [${x.axes}]`);
  return wrap(value);
}

/** Axis names and sizes as a type of the IR; "batch" is the symbol B unless a size is given. */
export function typeOf<D extends DType>(axes: string, sizes: Readonly<Record<string, Size | undefined>>, dtype: D) {
  const names = words(axes);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice)
    refuse("DIT2001", `"${twice}" stands twice in "${axes}"`, { help: "an axis name is the axis: give the second another name" });
  const shape = names.map((name) => {
    const size = sizes[name] ?? (name === "batch" ? ([0, 1] as const) : undefined);
    if (size === undefined) refuse("DIT2005", `axis "${name}" of "${axes}" has no size`, { help: `give it one: { ${name}: … }` });
    if (typeof size === "number" && !(Number.isInteger(size) && size > 0)) {
      refuse("DIT2005", `axis "${name}" of "${axes}" has size ${size}, expected a whole number of at least 1`, {
        help: "sizes come from the config: does one of its values divide another?",
      });
    }
    return size;
  });
  return tensorType(dtype, names, shape);
}

/** Library code works on names it does not know; its results get their types back at the end. */
const loose = (x: AnyTensor): Tensor<string> => x as unknown as Tensor<string>;
const typed = <A extends string, D extends DType>(x: AnyTensor): Tensor<A, D> => x as unknown as Tensor<A, D>;
