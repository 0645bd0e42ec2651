/**
 * Running sums of many tensors: what gradients of several small batches are added up with. One op for all of them, so that each gradient
 * is made by the kernel that makes it in any other step, in its place beside its weight, and then added pack by pack.
 */
import { add as addSize, type Size } from "../../program/size.js";
import type { Value } from "../graph.js";
import { numel, sameType, type TensorType } from "../types.js";
import { add } from "./elementwise.js";
import { eq, where } from "./logic.js";
import { type AnyOp, declareOp, defineOp, type Emit } from "./op.js";
import { like } from "./pointwise.js";
import { expandTo } from "./shape.js";

export const accumulate = declareOp("accumulate", "variadic");

const t = (dtype: TensorType["dtype"], axes: string, ...shape: number[]): TensorType => ({
  dtype,
  axes: axes ? axes.split(" ") : [],
  shape,
});

/** The operands by what they are: how many terms the totals hold, the totals, and a term for each. */
export function accumulateOperands<T>(operands: readonly T[]): { count: T; totals: readonly T[]; terms: readonly T[] } {
  const n = (operands.length - 1) / 2;
  return { count: operands[0]!, totals: operands.slice(1, 1 + n), terms: operands.slice(1 + n) };
}

/** What becomes of one of the totals, in elementwise ops. */
export function accumulated(b: Emit, count: Value, total: Value, term: Value): Value {
  const type = { ...total.type, dtype: "bool" } as const;
  const empty = expandTo(b, eq(b, count, like(b, count, 0)), type);
  return add(b, where(b, empty, like(b, total, 0), total), term);
}

export const accumulateOps: readonly AnyOp[] = [
  defineOp(accumulate, {
    doc: "each total with one more term: total + x, or x alone where count is 0, whatever the totals hold then. Operands: count i32[], the totals, a term x for each",
    stage: "both",
    infer: (inputs) => {
      if (inputs.length < 3 || inputs.length % 2 === 0) return "takes a count, totals, and as many terms";
      const { count, totals, terms } = accumulateOperands(inputs);
      if (count.dtype !== "i32" || count.axes.length > 0) return "the count is not i32[]";
      const odd = totals.findIndex((x, i) => x.dtype !== "f32" || !sameType(x, terms[i]!));
      return odd < 0 ? totals : `total ${odd + 1} and its term are not f32 of one type`;
    },
    eval: (inputs, _attrs, { round }) => {
      const { count, totals, terms } = accumulateOperands(inputs);
      const empty = count.data[0] === 0;
      return totals.map(({ data }, i) => data.map((x, k) => round((empty ? 0 : x) + terms[i]!.data[k]!)));
    },
    vjp: { nondifferentiable: "it is for sums of gradients", refuses: true },
    cost: (_inputs, outputs) => ({
      macs: 0,
      flops: outputs.map(numel).reduce((a: Size, n) => addSize(a, n), 0),
    }),
    fusion: { kind: "kernel", whole: true },
    samples: [
      {
        inputs: [t("i32", ""), t("f32", "a b", 5, 7), t("f32", ""), t("f32", "a b", 5, 7), t("f32", "")],
        domain: [
          [0, 1],
          [-2, 2],
          [-2, 2],
          [-2, 2],
          [-2, 2],
        ],
      },
      {
        inputs: [t("i32", ""), t("f32", "a", 9), t("f32", "a", 9)],
        domain: [
          [1, 4],
          [-2, 2],
          [-2, 2],
        ],
      },
    ],
  }),
];
