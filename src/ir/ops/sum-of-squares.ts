/**
 * The sum of squares of many tensors, in parts: what a gradient norm needs. One op for all of them, so that one kernel goes through all
 * gradients where they lie side by side.
 */
import type { TensorType } from "../types.js";
import { printType } from "../types.js";
import { type AnyOp, declareOp, defineOp } from "./op.js";

export const sumOfSquares = declareOp("sum_of_squares", "variadic", { parts: "int" });

const t = (axes: string, ...shape: number[]): TensorType => ({ dtype: "f32", axes: axes ? axes.split(" ") : [], shape });

export const sumOfSquaresOps: readonly AnyOp[] = [
  defineOp(sumOfSquares, {
    doc: "partial sums of the squares of all elements of all operands: their sum is the sum of squares, which part holds what is not said",
    stage: "both",
    infer: (inputs, { parts }) => {
      const odd = inputs.find((x) => x.dtype !== "f32" || !x.shape.every((s) => typeof s === "number"));
      if (odd) return `takes f32 of known size, not ${printType(odd)}`;
      return parts >= 1 ? { dtype: "f32", axes: ["part"], shape: [parts] } : "needs at least one part";
    },
    // All in the first part. Kernels spread them; only the sum of the parts means something.
    eval: (inputs, { parts }, { round }) => {
      const out = new Float64Array(parts);
      for (const { data } of inputs) {
        let total = 0;
        for (let from = 0; from < data.length; from += 64) {
          let block = 0;
          for (let i = from; i < Math.min(from + 64, data.length); i++) block = round(block + round(data[i]! * data[i]!));
          total = round(total + block);
        }
        out[0] = round(out[0]! + total);
      }
      return [out];
    },
    vjp: { nondifferentiable: "it is for norms of gradients", refuses: true },
    cost: (inputs) => ({
      macs: 0,
      flops: inputs.reduce((n, x) => n + 2 * x.shape.reduce((a: number, s) => a * (s as number), 1), 0),
    }),
    fusion: { kind: "kernel", partial: true, whole: true },
    samples: [{ inputs: [t("a b", 17, 33), t("a", 5), t("")], attrs: { parts: 1 } }],
  }),
];
