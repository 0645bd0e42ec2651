/** Reductions over named axes. The reference sums in blocks, as the kernels do, so that its f32 run is a fair twin. */
import { product } from "../../program/size.js";
import type { Value } from "../graph.js";
import { numel, printType, sizeOf, type TensorType } from "../types.js";
import { cast, div, mul } from "./elementwise.js";
import { eq } from "./logic.js";
import { type AnyOp, type Dense, declareOp, defineOp, type Emit, type Sample } from "./op.js";
import { expandTo, gatherStrided, stridesOf, sum } from "./shape.js";

export const max = declareOp("max", ["x"], { over: "names" });
export const sumRuns = declareOp("sum_runs", ["x"], { axis: "str", run: "int" });

const t = (axes: string, ...shape: number[]): TensorType => ({ dtype: "f32", axes: axes.split(" "), shape });
type Over = { over: "names" };
const samples: readonly [Sample<Over>, ...Sample<Over>[]] = [
  { inputs: [t("row col", 4, 5)], attrs: { over: ["col"] } },
  { inputs: [t("row col", 4, 5)], attrs: { over: ["row"] } },
  { inputs: [t("a b c", 2, 3, 4)], attrs: { over: ["a", "c"] } },
  { inputs: [t("a b", 3, 70)], attrs: { over: ["a", "b"] } },
];

function infer([x]: readonly TensorType[], { over }: { readonly over: readonly string[] }): TensorType | string {
  if (x!.dtype === "bool") return "takes numbers, not bool";
  const odd = over.find((name) => !x!.axes.includes(name));
  if (odd) return `"${odd}" is not an axis of ${printType(x!)}`;
  if (over.length === 0 || new Set(over).size < over.length) return "needs axes to reduce over, each once";
  const keep = x!.axes.map((name) => !over.includes(name));
  return { dtype: x!.dtype, axes: x!.axes.filter((_, i) => keep[i]), shape: x!.shape.filter((_, i) => keep[i]) };
}

/** Rows of `x`, kept axes first and reduced axes last, folded one by one. */
function fold(x: Dense, over: readonly string[], row: (values: Float64Array) => number): Float64Array {
  const order = [...x.type.axes.keys()].sort(
    (a, b) => Number(over.includes(x.type.axes[a]!)) - Number(over.includes(x.type.axes[b]!)) || a - b,
  );
  const strides = stridesOf(x.shape);
  const sorted = gatherStrided(
    x.data,
    order.map((i) => x.shape[i]!),
    order.map((i) => strides[i]!),
  );
  const length = over.reduce((n, name) => n * x.shape[x.type.axes.indexOf(name)]!, 1);
  return Float64Array.from({ length: sorted.length / length }, (_, r) => row(sorted.subarray(r * length, (r + 1) * length)));
}

const cost = (inputs: readonly TensorType[]) => ({ macs: 0, flops: numel(inputs[0]!) });
const back = (b: Emit, v: Value, like: Value): Value => expandTo(b, v, like.type);

export const reduceOps: readonly AnyOp[] = [
  defineOp(sum, {
    doc: "sum over axes, accumulated in blocks of 64 so that the f32 error grows slowly",
    stage: "both",
    infer,
    eval: ([x], { over }, { round }) => [
      fold(x!, over, (v) => {
        let total = 0;
        for (let from = 0; from < v.length; from += 64) {
          let block = 0;
          for (let i = from; i < Math.min(from + 64, v.length); i++) block = round(block + v[i]!);
          total = round(total + block);
        }
        return total;
      }),
    ],
    vjp: (b, { dy, inputs }) => [back(b, dy, inputs[0]!)],
    cost,
    fusion: { kind: "anchor" },
    samples,
  }),
  defineOp(max, {
    doc: "largest value over axes; ties share the gradient",
    stage: "both",
    infer,
    eval: ([x], { over }) => [fold(x!, over, (v) => v.reduce((a, b) => Math.max(a, b), -Infinity))],
    vjp: (b, { dy, inputs, output }, { over }) => {
      const x = inputs[0]!;
      const winners = cast(b, eq(b, x, back(b, output, x)), { dtype: x.type.dtype });
      return [mul(b, winners, back(b, div(b, dy, sum(b, winners, { over })), x))];
    },
    cost,
    fusion: { kind: "anchor" },
    samples,
  }),
  defineOp(sumRuns, {
    doc: "sums of `run` neighbours along an axis: the first stage of a sum over that axis, whose second is a plain sum of these",
    stage: "both",
    infer: ([x], { axis, run }) => {
      const at = x!.axes.indexOf(axis);
      const size = x!.shape[at];
      if (size === undefined) return `"${axis}" is not an axis of ${printType(x!)}`;
      if (x!.dtype === "bool") return "takes numbers, not bool";
      if (typeof size !== "number" || run < 1 || size % run > 0)
        return `runs of ${run} do not divide axis "${axis}" of ${printType(x!)}`;
      return { ...x!, shape: x!.shape.with(at, size / run) };
    },
    eval: ([x], { axis, run }, { round }) => {
      const at = x!.type.axes.indexOf(axis);
      const inner = stridesOf(x!.shape)[at]!;
      return [
        Float64Array.from({ length: x!.data.length / run }, (_, i) => {
          const from = Math.floor(i / inner) * inner * run + (i % inner);
          let total = 0;
          for (let r = 0; r < run; r++) total = round(total + x!.data[from + r * inner]!);
          return total;
        }),
      ];
    },
    vjp: { nondifferentiable: "stages of sums are made when gradients have been taken", refuses: true },
    cost,
    fusion: { kind: "partial" },
    samples: [
      { inputs: [t("batch token hidden", 2, 12, 5)], attrs: { axis: "token", run: 4 } },
      { inputs: [t("token hidden", 6, 70)], attrs: { axis: "token", run: 6 } },
      { inputs: [t("token hidden", 3, 5)], attrs: { axis: "token", run: 1 } },
    ] satisfies [Sample<{ axis: "str"; run: "int" }>, ...Sample<{ axis: "str"; run: "int" }>[]],
  }),
];

/** Number of elements that one result takes in. */
export const reducedSize = (x: TensorType, over: readonly string[]) => product(over.map((name) => sizeOf(x, name)!));
