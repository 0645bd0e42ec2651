/**
 * Each op of our graph as PyTorch: the one place that knows both. Gradients are PyTorch's own affair, so only what a forward pass and a
 * loss contain has a form.
 */
import type { Node } from "../../ir/graph.js";
import { attentionAxes } from "../../ir/ops/attention.js";
import { dotAxes } from "../../ir/ops/contract.js";
import { type DType, sizeOf, type TensorType } from "../../ir/types.js";
import { printSize, type Size, sameSize } from "../../program/size.js";
import { after, type Binds, call, type Expression, number, operand, tuple } from "./expression.js";

export interface Context {
  readonly node: Node;
  readonly x: readonly Expression[];
  readonly types: readonly TensorType[];
  readonly out: TensorType;
  /** Whether readers broadcast the result by themselves. */
  readonly lazy: boolean;
  /** Values of the operands that are constants left to broadcasting. */
  readonly constants: readonly (number | undefined)[];
}

type Form = (c: Context) => Expression;

const names = (value: unknown): readonly string[] => value as readonly string[];
const without = (axes: readonly string[], some: readonly string[]): string[] => axes.filter((name) => !some.includes(name));
const dtypes: Readonly<Record<DType, string>> = {
  f32: "torch.float32",
  f16: "torch.float16",
  i32: "torch.int32",
  u32: "torch.int64",
  bool: "torch.bool",
};

/** Sizes as Python says them; one that depends on the batch is left to be found, where it is the only one. */
function sizesOf(shape: readonly Size[], infer: boolean): (string | number)[] {
  const open = shape.filter((size) => typeof size !== "number").length;
  return shape.map((size) =>
    typeof size === "number" ? size : infer && open === 1 ? -1 : printSize(size).replaceAll("^", "**"),
  );
}

const binary =
  (op: string, binds: Binds): Form =>
  ({ x: [a, b] }) => ({ text: `${operand(a!, binds === 0 ? 1 : binds)} ${op} ${operand(b!, (binds + 1) as Binds)}`, binds });
const method =
  (name: string): Form =>
  ({ x: [a] }) =>
    after(a!, `.${name}()`);
const named =
  (name: string, more = ""): Form =>
  ({ x }) =>
    call(`${name}(${x.map(({ text }) => text).join(", ")}${more})`);

/** `x` in another order of its axes. */
const arranged = (x: Expression, axes: readonly string[], wanted: readonly string[]): Expression =>
  wanted.every((name, i) => name === axes[i]) ? x : after(x, `.permute(${wanted.map((name) => axes.indexOf(name)).join(", ")})`);

const place = ({ node, types }: Context): number => types[0]!.axes.indexOf(node.attrs.axis as string);
const dims = ({ node, types }: Context): string => {
  const at = names(node.attrs.over).map((name) => types[0]!.axes.indexOf(name));
  return at.length === 1 ? `dim=${at[0]}` : `dim=${tuple(at)}`;
};

/** `x[:, None]`; `whole`: repeated along the axes that it lacks. */
const expand: Form = ({ x, types, out, lazy }) => {
  const own = types[0]!;
  const ordered = arranged(
    x[0]!,
    own.axes,
    out.axes.filter((name) => own.axes.includes(name)),
  );
  const missing = out.axes.map((name) => !own.axes.includes(name));
  // Leading axes are added by broadcasting itself.
  const from = missing.indexOf(false);
  const parts = missing.slice(from < 0 ? missing.length : from).map((lacks) => (lacks ? "None" : ":"));
  while (parts.at(-1) === ":") parts.pop();
  const thin = parts.length > 0 ? after(ordered, `[${parts.join(", ")}]`) : ordered;
  if (lazy || !missing.includes(true)) return thin;
  const sizes = out.shape.map((size, i) => (missing[i] ? sizesOf([size], false)[0]! : -1));
  return after(thin, `.expand(${sizes.join(", ")})`);
};

/** `torch.einsum` with a letter for each axis, its own where it is free. */
function einsum(
  x: Expression,
  y: Expression,
  [left, right]: readonly [TensorType, TensorType],
  out: readonly string[],
): Expression {
  const letters = new Map<string, string>();
  const alphabet = "abcdefghijklmnopqrstuvwxyz";
  for (const axis of new Set([...left.axes, ...right.axes])) {
    const taken = new Set(letters.values());
    letters.set(axis, [...axis.toLowerCase(), ...alphabet].find((c) => alphabet.includes(c) && !taken.has(c))!);
  }
  const spelled = (axes: readonly string[]): string => axes.map((axis) => letters.get(axis)).join("");
  return call(`torch.einsum("${spelled(left.axes)},${spelled(right.axes)}->${spelled(out)}", ${x.text}, ${y.text})`);
}

/** Whether a dot is what F.linear computes: rows along the last axis of x, weight [out, in]. */
export function isLinear({ attrs, inputs, outputs }: Node): boolean {
  const [x, w] = [inputs[0]!.type.axes, inputs[1]!.type.axes];
  const over = names(attrs.over);
  const { batch } = dotAxes(x, w, over);
  return batch.length === 0 && over.length === 1 && w.length === 2 && w[1] === over[0] && x.at(-1) === over[0] && !!outputs;
}

const dot: Form = ({ node, x, types, out }) =>
  isLinear(node) ? call(`F.linear(${x[0]!.text}, ${x[1]!.text})`) : einsum(x[0]!, x[1]!, [types[0]!, types[1]!], out.axes);

/** The file's own `attention`, along the last two axes; keys of several axes are one for it. */
const attention: Form = ({ node, x, types }) => {
  const [q, k, v] = types as readonly [TensorType, TensorType, TensorType];
  const { batch, query, key, over, own } = attentionAxes(q.axes, k.axes, v.axes, {
    over: names(node.attrs.over),
    key: names(node.attrs.key),
  });
  const rank = batch.length;
  const grouped = (e: Expression, type: TensorType, rows: readonly string[], columns: readonly string[]): string => {
    let at = arranged(e, type.axes, [...batch, ...rows, ...columns]);
    if (columns.length > 1) at = after(at, `.flatten(${rank + rows.length})`);
    if (rows.length > 1) at = after(at, `.flatten(${rank}, ${rank + rows.length - 1})`);
    return rows.length === 0 ? after(at, `.unsqueeze(${rank})`).text : at.text;
  };
  const parts = [grouped(x[0]!, q, query, over), grouped(x[1]!, k, key, over), grouped(x[2]!, v, key, own)];
  const flat = call(`attention(${parts.join(", ")}, ${number(node.attrs.scale as number, false)})`);
  const made = [...batch, ...query, ...own];
  const shape = made.map((name) => sizeOf(q, name) ?? sizeOf(v, name)!);
  const simple = query.length === 1 && own.length === 1;
  const result = node.outputs[0]!.type;
  return arranged(simple ? flat : after(flat, `.reshape(${sizesOf(shape, true).join(", ")})`), made, result.axes);
};

const normalize: Form = ({ node, x, types }) => {
  const { axes, shape } = types[0]!;
  const over = axes.filter((name) => names(node.attrs.over).includes(name));
  const order = [...without(axes, over), ...over];
  const sizes = tuple(
    sizesOf(
      over.map((name) => shape[axes.indexOf(name)]!),
      false,
    ),
  );
  const made = call(
    `F.layer_norm(${arranged(x[0]!, axes, order).text}, ${sizes}, eps=${number(node.attrs.eps as number, false)})`,
  );
  return arranged(made, order, axes);
};

/** Our gather clamps. */
const gather: Form = ({ node, x, types }) => {
  const table = types[0]!;
  const axis = node.attrs.axis as string;
  const last = sizesOf([sizeOf(table, axis)!], false)[0]!;
  const index = after(x[1]!, `.clamp(0, ${typeof last === "number" ? last - 1 : `${last} - 1`}).long()`);
  return after(arranged(x[0]!, table.axes, [axis, ...without(table.axes, [axis])]), `[${index.text}]`);
};

/** Slices are `x[:, a:b]`. */
const indexed = (c: Context, index: string): Expression => {
  const at = place(c);
  return after(c.x[0]!, `[${[...new Array<string>(at).fill(":"), index].join(", ")}]`);
};

/** torch.maximum and minimum take tensors; beside a number it is a clamp. */
const bounded =
  (name: "maximum" | "minimum", bound: "min" | "max"): Form =>
  (c) => {
    const at = c.constants.findIndex((value) => value !== undefined);
    return at < 0 ? named(`torch.${name}`)(c) : after(c.x[1 - at]!, `.clamp(${bound}=${c.x[at]!.text})`);
  };

const iota: Form = ({ node, out }) => {
  const axis = node.attrs.axis as string;
  const at = out.axes.indexOf(axis);
  const counted = call(`torch.arange(${sizesOf([out.shape[at]!], false)[0]}, dtype=${dtypes[out.dtype]}, device=device)`);
  if (out.axes.length === 1) return counted;
  const thin = after(counted, `[${[":", ...new Array<string>(out.axes.length - 1 - at).fill("None")].join(", ")}]`);
  return after(thin, `.expand(${sizesOf(out.shape, false).join(", ")})`);
};

const fill: Form = ({ node, out, lazy }) => {
  const value = number(node.attrs.value as number, out.dtype !== "f32" && out.dtype !== "f16");
  const literal = out.dtype === "bool" ? (node.attrs.value ? "True" : "False") : value;
  if (lazy) return { text: literal, binds: literal.startsWith("-") ? 2 : 3 };
  return call(
    `torch.full(${out.shape.length === 0 ? "()" : tuple(sizesOf(out.shape, false))}, ${literal}, dtype=${dtypes[out.dtype]}, device=device)`,
  );
};

const where: Form = ({ x, types, constants }) => {
  const parts = x.map(({ text }, i) =>
    constants[i] === undefined ? text : `torch.full((), ${text}, dtype=${dtypes[types[i]!.dtype]}, device=device)`,
  );
  return call(`torch.where(${parts.join(", ")})`);
};

export const forms: Readonly<Record<string, Form>> = {
  neg: ({ x }) => ({ text: `-${operand(x[0]!, 3)}`, binds: 2 }),
  exp: method("exp"),
  expm1: method("expm1"),
  log: method("log"),
  sqrt: method("sqrt"),
  rsqrt: method("rsqrt"),
  tanh: method("tanh"),
  sigmoid: method("sigmoid"),
  abs: method("abs"),
  square: method("square"),
  reciprocal: method("reciprocal"),
  copy: ({ x }) => x[0]!,
  stop_gradient: method("detach"),
  cast: ({ x, out }) => after(x[0]!, `.to(${dtypes[out.dtype]})`),
  add: binary("+", 1),
  sub: binary("-", 1),
  mul: binary("*", 2),
  div: binary("/", 2),
  maximum: bounded("maximum", "min"),
  minimum: bounded("minimum", "max"),
  gelu: named("F.gelu", ', approximate="tanh"'),
  silu: named("F.silu"),
  is_finite: named("torch.isfinite"),
  not: named("torch.logical_not"),
  eq: binary("==", 0),
  lt: binary("<", 0),
  le: binary("<=", 0),
  and: named("torch.logical_and"),
  or: named("torch.logical_or"),
  where,
  fill,
  expand,
  rename: ({ x }) => x[0]!,
  transpose: ({ x, types, out }) => arranged(x[0]!, types[0]!.axes, out.axes),
  split: (c) => {
    const sizes = c.node.attrs.sizes as readonly Size[];
    return sizes.length === 1 ? c.x[0]! : after(c.x[0]!, `.unflatten(${place(c)}, ${tuple(sizesOf(sizes, true))})`);
  },
  merge: ({ node, x, types }) => {
    const axes = names(node.attrs.axes);
    const at = types[0]!.axes.indexOf(axes[0]!);
    return axes.length === 1 ? x[0]! : after(x[0]!, `.flatten(${at}, ${at + axes.length - 1})`);
  },
  drop: (c) => after(c.x[0]!, `.squeeze(${place(c)})`),
  slice: (c) => {
    const { from, to } = c.node.attrs;
    const all = from === 0 && sameSize(c.types[0]!.shape[place(c)]!, to as number);
    return all ? c.x[0]! : indexed(c, `${from}:${to}`);
  },
  reverse: (c) => after(c.x[0]!, `.flip(${place(c)})`),
  pad: (c) => {
    const { before, after: behind } = c.node.attrs;
    const pads = [...new Array<number>(2 * (c.types[0]!.axes.length - 1 - place(c))).fill(0), before, behind];
    return call(`F.pad(${c.x[0]!.text}, ${tuple(pads as number[])})`);
  },
  concat: (c) => call(`torch.cat(${tuple(c.x.map(({ text }) => text))}, dim=${place(c)})`),
  iota,
  sum: (c) => after(c.x[0]!, `.sum(${dims(c)}${c.out.dtype === "f32" ? "" : `, dtype=${dtypes[c.out.dtype]}`})`),
  max: (c) => after(c.x[0]!, `.amax(${dims(c)})`),
  dot,
  attention,
  normalize,
  gather,
};

/** The place of a slice of one element whose axis goes: `x[:, 3]`. */
export const selected = (slice: Context): Expression => indexed(slice, String(slice.node.attrs.from));
