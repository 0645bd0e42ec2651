/** Rules on elementwise ops: neutral elements, cancellations, and folding of constants. */
import { concreteShape, roundingOf } from "../../ir/eval.js";
import type { Node, Value } from "../../ir/graph.js";
import { add, neg, square, sub } from "../../ir/ops/elementwise.js";
import { opRow } from "../../ir/ops/index.js";
import { fill } from "../../ir/ops/pointwise.js";
import type { TensorType } from "../../ir/types.js";
import type { Rewriter, Rule } from "./rule.js";

const scalar = (type: TensorType): TensorType => ({ dtype: type.dtype, axes: [], shape: [] });

/** One operand of a two-operand node when the other is this constant, on either side. */
function besides(r: Rewriter, node: Node, constant: number): Value | undefined {
  if (r.constant(node.inputs[1]) === constant) return node.inputs[0];
  return r.constant(node.inputs[0]) === constant ? node.inputs[1] : undefined;
}

const same = (node: Node): boolean => node.inputs[0] === node.inputs[1];

/** What is under two of the same op, such as neg. */
const twice = (r: Rewriter, node: Node): Value | undefined => r.made(node.inputs[0], node.op)?.inputs[0];

/** The value of an elementwise op on constants, undefined when it is not finite: infinities are left to the run. */
function folded(r: Rewriter, node: Node): number | undefined {
  const row = opRow(node.op);
  const values = node.inputs.map((v) => r.constant(v));
  if (row.fusion.kind !== "elementwise" || values.length === 0 || values.includes(undefined)) return undefined;
  const inputs = node.inputs.map(({ type }, i) => ({ type: scalar(type), shape: [], data: Float64Array.of(values[i]!) }));
  const outputs = node.outputs.map((v) => scalar(v.type));
  // In f64 and rounded once, where the constant is stored or written into a kernel.
  const round = roundingOf(outputs[0]!.dtype, "f64");
  const value = row.eval(inputs, node.attrs as never, {
    outputs,
    shapes: outputs.map((type) => concreteShape(type, 1)),
    round,
  })[0]![0]!;
  return Number.isFinite(value) ? value : undefined;
}

export const arithmeticRules: readonly Rule[] = [
  {
    name: "op of constants → constant",
    apply: (r, node) => {
      const value = folded(r, node);
      return value === undefined ? undefined : fill(r, { value, type: node.outputs[0]!.type });
    },
  },
  { name: "x + 0 → x", ops: ["add"], apply: (r, node) => besides(r, node, 0) },
  { name: "x - 0 → x", ops: ["sub"], apply: (r, node) => (r.constant(node.inputs[1]) === 0 ? node.inputs[0] : undefined) },
  {
    name: "0 - x → -x",
    ops: ["sub"],
    apply: (r, node) => (r.constant(node.inputs[0]) === 0 ? negated(r, node.inputs[1]!) : undefined),
  },
  { name: "x · 1 → x", ops: ["mul"], apply: (r, node) => besides(r, node, 1) },
  { name: "x / 1 → x", ops: ["div"], apply: (r, node) => (r.constant(node.inputs[1]) === 1 ? node.inputs[0] : undefined) },
  {
    name: "x · -1 → -x",
    ops: ["mul"],
    apply: (r, node) => {
      const x = besides(r, node, -1);
      return x && negated(r, x);
    },
  },
  {
    name: "x / -1 → -x",
    ops: ["div"],
    apply: (r, node) => (r.constant(node.inputs[1]) === -1 ? neg(r, node.inputs[0]!) : undefined),
  },
  { name: "x · x → square", ops: ["mul"], apply: (r, node) => (same(node) ? square(r, node.inputs[0]!) : undefined) },
  { name: "--x → x, not not x → x", ops: ["neg", "not"], apply: twice },
  {
    name: "x + -y → x - y",
    ops: ["add"],
    apply: (r, { inputs }) => {
      const [right, left] = [r.made(inputs[1], "neg"), r.made(inputs[0], "neg")];
      if (right) return sub(r, inputs[0]!, right.inputs[0]!);
      return left && sub(r, inputs[1]!, left.inputs[0]!);
    },
  },
  {
    name: "x - -y → x + y",
    ops: ["sub"],
    apply: (r, { inputs }) => {
      const right = r.made(inputs[1], "neg");
      return right && add(r, inputs[0]!, right.inputs[0]!);
    },
  },
  {
    name: "x op x → x",
    ops: ["maximum", "minimum", "and", "or"],
    apply: (_r, node) => (same(node) ? node.inputs[0] : undefined),
  },
  { name: "x and true → x", ops: ["and"], apply: (r, node) => besides(r, node, 1) },
  { name: "x or false → x", ops: ["or"], apply: (r, node) => besides(r, node, 0) },
  {
    name: "where with a known condition, or with one value",
    ops: ["where"],
    apply: (r, { inputs: [cond, x, y] }) => {
      const known = r.constant(cond);
      return x === y || (known !== undefined && known !== 0) ? x : known === 0 ? y : undefined;
    },
  },
  {
    name: "cast to the same dtype → x",
    ops: ["cast"],
    apply: (_r, node) => (node.attrs.dtype === node.inputs[0]!.type.dtype ? node.inputs[0] : undefined),
  },
  {
    name: "stop_gradient x → x, once gradients are taken",
    ops: ["stop_gradient"],
    apply: (r, node) => (r.options.differentiated ? node.inputs[0] : undefined),
  },
];

const negated = (r: Rewriter, x: Value): Value | undefined => (x.type.dtype === "u32" ? undefined : neg(r, x));
