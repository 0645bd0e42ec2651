/**
 * Each op of our graph as ops of ONNX, opset 17: the one place that knows both. Axes with names become positions here. What no forward
 * pass contains (gradients, the optimizer's ops, stages of sums, random draws) has no form and is refused by name.
 */
import type { Node, Value } from "../../ir/graph.js";
import { attentionAxes } from "../../ir/ops/attention.js";
import { dotAxes } from "../../ir/ops/contract.js";
import { sizeOf, type TensorType } from "../../ir/types.js";
import { type Size, product as sizeProduct } from "../../program/size.js";
import type { GraphBuilder } from "./graph.js";
import { dataTypes } from "./proto.js";

export interface Context {
  readonly g: GraphBuilder;
  readonly node: Node;
  /** Names of the operands. */
  readonly x: readonly string[];
  /** Types of the operands, and of the result. */
  readonly types: readonly TensorType[];
  readonly out: TensorType;
  /** Whether readers broadcast the result by themselves. */
  readonly lazy: boolean;
  /** Whether anybody reads this output. */
  readonly wants: (output: number) => boolean;
}

/** Gives the names of the outputs. */
type Form = (c: Context) => string | readonly string[];

const names = (value: unknown): readonly string[] => value as readonly string[];
const places = (type: TensorType, axes: readonly string[]): number[] => axes.map((name) => type.axes.indexOf(name));
const sizes = (type: TensorType, axes: readonly string[]): Size[] => axes.map((name) => sizeOf(type, name)!);
const without = (axes: readonly string[], some: readonly string[]): string[] => axes.filter((name) => !some.includes(name));

/** An op that ONNX has under a name of its own. */
const same =
  (op: string): Form =>
  ({ g, x }) =>
    g.node(op, x);

const identity: Form = ({ x }) => x[0]!;

/** The same numbers under other sizes. */
const view: Form = ({ g, x, types, out }) => g.reshape(x[0]!, types[0]!.shape, out.shape);

/** A matrix product of any axes: both sides are brought into the order [paired …, rows, contracted] and [paired …, contracted, columns]. */
function product(
  g: GraphBuilder,
  [x, y]: readonly [string, string],
  [left, right]: readonly [TensorType, TensorType],
  over: readonly string[],
): { readonly name: string; readonly axes: readonly string[]; readonly shape: readonly Size[] } {
  const { batch, m, n } = dotAxes(left.axes, right.axes, over);
  const [paired, rows, columns, k] = [sizes(left, batch), sizes(left, m), sizes(right, n), sizes(left, over)];
  const each = paired.map((size) => [size]);
  // Without paired axes the rows stay apart, since MatMul takes any number of them.
  const apart = batch.length === 0 && m.length > 0;
  const lhs = g.grouped(g.arrange(x, left.axes, [...batch, ...m, ...over]), [
    ...each,
    ...(apart ? rows.map((size) => [size]) : [rows]),
    k,
  ]);
  const rhs = g.grouped(g.arrange(y, right.axes, [...batch, ...over, ...n]), [...each, k, columns]);
  const made = g.node("MatMul", [lhs, rhs]);
  const shape = [...paired, ...rows, ...columns];
  const whole = (group: readonly Size[]): Size[] => (group.length === 1 ? [...group] : [sizeProduct(group)]);
  const now = [...paired, ...(apart ? rows : whole(rows)), ...whole(columns)];
  return { name: g.reshape(made, now, shape), axes: [...batch, ...m, ...n], shape };
}

const dot: Form = ({ g, node, x, types, out }) => {
  const made = product(g, [x[0]!, x[1]!], [types[0]!, types[1]!], names(node.attrs.over));
  return g.arrange(made.name, made.axes, out.axes);
};

const attention: Form = ({ g, node, x, types, wants }) => {
  const [q, k, v] = types as readonly [TensorType, TensorType, TensorType];
  const attrs = { over: names(node.attrs.over), key: names(node.attrs.key) };
  const { batch, query, key } = attentionAxes(q.axes, k.axes, v.axes, attrs);
  const found = product(g, [x[0]!, x[1]!], [q, k], attrs.over);
  const inOrder = [...batch, ...query, ...key];
  const typed: TensorType = { dtype: "f32", axes: found.axes, shape: found.shape };
  const ordered = g.arrange(found.name, found.axes, inOrder);
  const scores = g.node("Mul", [ordered, g.scalar(node.attrs.scale as number, "f32")], {}, "scores");
  // Softmax goes along one axis.
  const groups = [...sizes(typed, [...batch, ...query]).map((size) => [size]), sizes(typed, key)];
  const flat = g.grouped(scores, groups);
  const rows: TensorType = { dtype: "f32", axes: inOrder, shape: groups.flat() };
  const softmax = g.node("Softmax", [flat], { axis: groups.length - 1 });
  const probabilities = g.reshape(softmax, groups.map(sizeProduct), rows.shape);
  const mixed = product(g, [probabilities, x[2]!], [rows, v], key);
  const o = g.arrange(mixed.name, mixed.axes, node.outputs[0]!.type.axes);
  if (!wants(1)) return [o, ""];
  const lse = g.node("ReduceLogSumExp", [flat], { axes: [groups.length - 1], keepdims: 0 });
  return [o, g.arrange(lse, [...batch, ...query], node.outputs[1]!.type.axes)];
};

/** LayerNormalization goes along the last axes and wants a scale. */
const normalize: Form = ({ g, node, x, types }) => {
  const { axes } = types[0]!;
  const over = axes.filter((name) => names(node.attrs.over).includes(name));
  const order = [...without(axes, over), ...over];
  const shape = sizes(types[0]!, over) as number[];
  const count = shape.reduce((n, size) => n * size, 1);
  const scale = g.constant(new Array<number>(count).fill(1), "f32", shape);
  const attributes = { axis: axes.length - over.length, epsilon: { float: node.attrs.eps as number } };
  const made = g.node("LayerNormalization", [g.arrange(x[0]!, axes, order), scale], attributes);
  return g.arrange(made, order, axes);
};

/** Our gather clamps; ONNX calls an index outside an error, and counts a negative one from the end. */
const gather: Form = ({ g, node, x, types }) => {
  const table = types[0]!;
  const axis = node.attrs.axis as string;
  const size = sizeOf(table, axis)!;
  const count = (): string => g.node("Squeeze", [g.node("Cast", [g.size(size)], { to: dataTypes.i32 }), g.ints([0])]);
  const last = typeof size === "number" ? g.scalar(size - 1, "i32") : g.node("Sub", [count(), g.scalar(1, "i32")]);
  const row = g.node("Max", [g.node("Min", [x[1]!, last]), g.scalar(0, "i32")]);
  const ordered = g.arrange(x[0]!, table.axes, [axis, ...without(table.axes, [axis])]);
  return g.node("Gather", [ordered, row], { axis: 0 });
};

const fill: Form = ({ g, node, out, lazy }) => {
  const value = g.scalar(node.attrs.value as number, out.dtype);
  return lazy || out.axes.length === 0 ? value : g.node("Expand", [value, g.shape(out.shape)], {}, "fill");
};

const iota: Form = ({ g, node, out }) => {
  const axis = node.attrs.axis as string;
  const size = sizeOf(out, axis)!;
  const own: TensorType = { dtype: out.dtype, axes: [axis], shape: [size] };
  const to = dataTypes[out.dtype];
  const counted = (): string => {
    if (typeof size === "number") return g.constant([...Array(size).keys()], out.dtype, [size]);
    const end = g.node("Squeeze", [g.size(size), g.ints([0])]);
    const range = g.node("Range", [g.constant([0], "i64", []), end, g.constant([1], "i64", [])]);
    return g.node("Cast", [range], { to });
  };
  return g.broadcast(counted(), own, out, true);
};

/** Tensor-wide arithmetic written out; `f` is a constant of the operand's dtype. */
const formula =
  (write: (op: (name: string, ...inputs: string[]) => string, f: (value: number) => string, ...x: string[]) => string): Form =>
  ({ g, x, types }) =>
    write(
      (name, ...inputs) => g.node(name, inputs),
      (value) => g.scalar(value, types[0]!.dtype),
      ...x,
    );

const sliced = (c: Context, from: number, to: number, step: number): string => {
  const axis = c.types[0]!.axes.indexOf(c.node.attrs.axis as string);
  return c.g.node("Slice", [c.x[0]!, c.g.ints([from]), c.g.ints([to]), c.g.ints([axis]), c.g.ints([step])]);
};

const ROOT = Math.sqrt(2 / Math.PI);

export const forms: Readonly<Record<string, Form>> = {
  neg: same("Neg"),
  exp: same("Exp"),
  // Accurate near 0: tanh(x / 2) (e^x + 1).
  expm1: formula((op, f, x) => op("Mul", op("Tanh", op("Mul", x!, f(0.5))), op("Add", op("Exp", x!), f(1)))),
  log: same("Log"),
  sqrt: same("Sqrt"),
  rsqrt: formula((op, _, x) => op("Reciprocal", op("Sqrt", x!))),
  tanh: same("Tanh"),
  sigmoid: same("Sigmoid"),
  abs: same("Abs"),
  square: formula((op, _, x) => op("Mul", x!, x!)),
  reciprocal: same("Reciprocal"),
  copy: identity,
  stop_gradient: identity,
  cast: ({ g, x, out }) => g.node("Cast", x, { to: dataTypes[out.dtype] }),
  add: same("Add"),
  sub: same("Sub"),
  mul: same("Mul"),
  div: same("Div"),
  maximum: same("Max"),
  minimum: same("Min"),
  // In the spelling that runtimes know as one kernel.
  gelu: formula((op, f, x) => {
    const inner = op("Mul", f(ROOT), op("Add", x!, op("Mul", f(0.044715), op("Pow", x!, f(3)))));
    return op("Mul", op("Mul", f(0.5), x!), op("Add", f(1), op("Tanh", inner)));
  }),
  silu: formula((op, _, x) => op("Mul", x!, op("Sigmoid", x!))),
  is_finite: formula((op, _, x) => op("Not", op("Or", op("IsInf", x!), op("IsNaN", x!)))),
  not: same("Not"),
  eq: same("Equal"),
  lt: same("Less"),
  le: same("LessOrEqual"),
  and: same("And"),
  or: same("Or"),
  where: same("Where"),
  fill,
  expand: ({ g, x, types, out, lazy }) => g.broadcast(x[0]!, types[0]!, out, !lazy),
  rename: identity,
  transpose: ({ g, x, types, out }) => g.arrange(x[0]!, types[0]!.axes, out.axes),
  split: view,
  merge: view,
  drop: ({ g, node, x, types }) => g.node("Squeeze", [x[0]!, g.ints(places(types[0]!, [node.attrs.axis as string]))]),
  slice: (c) => sliced(c, c.node.attrs.from as number, c.node.attrs.to as number, 1),
  // From the last place to before the first.
  reverse: (c) => sliced(c, -1, -(2 ** 31), -1),
  pad: ({ g, node, x, types, out }) => {
    const at = types[0]!.axes.indexOf(node.attrs.axis as string);
    const pads = new Array<number>(2 * types[0]!.axes.length).fill(0);
    pads[at] = node.attrs.before as number;
    pads[types[0]!.axes.length + at] = node.attrs.after as number;
    return g.node("Pad", [x[0]!, g.ints(pads), g.scalar(0, out.dtype)]);
  },
  concat: ({ g, node, x, types }) => g.node("Concat", x, { axis: types[0]!.axes.indexOf(node.attrs.axis as string) }),
  iota,
  sum: ({ g, node, x, types }) =>
    g.node("ReduceSum", [x[0]!, g.ints(places(types[0]!, names(node.attrs.over)))], { keepdims: 0 }),
  max: ({ g, node, x, types }) => g.node("ReduceMax", x, { axes: places(types[0]!, names(node.attrs.over)), keepdims: 0 }),
  dot,
  attention,
  normalize,
  gather,
};

export const typesOf = (values: readonly Value[]): TensorType[] => values.map((v) => v.type);
