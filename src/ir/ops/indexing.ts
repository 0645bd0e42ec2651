/** Reading by number: `gather` (embedding tables, schedule tables) and `draw`, the counter-based random numbers. */
import { drawBernoulli, drawInt, drawNormal, NORMAL_TABLE_SIZE, purposeOf, threefry } from "../../program/random.js";
import { numel, printType, sizeOf, type TensorType } from "../types.js";
import { dot } from "./contract.js";
import { cast, maximum, minimum, mul } from "./elementwise.js";
import { eq } from "./logic.js";
import { type AnyOp, declareOp, defineOp } from "./op.js";
import { like } from "./pointwise.js";
import { max } from "./reduce.js";
import { expandTo, iota, stridesOf } from "./shape.js";

export const gather = declareOp("gather", ["table", "index"], { axis: "str" });
export const draw = declareOp("draw", "variadic", { name: "str", kind: "str", p: "num", below: "int", type: "type" });

const t = (dtype: TensorType["dtype"], axes: string, ...shape: number[]): TensorType => ({
  dtype,
  axes: axes === "" ? [] : axes.split(" "),
  shape,
});

export const indexingOps: readonly AnyOp[] = [
  defineOp(gather, {
    doc: "the slices of `table` along `axis` that `index` names; an index outside is clamped to the table",
    stage: "both",
    infer: ([table, index], { axis }) => {
      if (sizeOf(table!, axis) === undefined) return `"${axis}" is not an axis of the table ${printType(table!)}`;
      if (index!.dtype !== "i32") return `the index is ${index!.dtype}, expected i32`;
      const rest = table!.axes.filter((a) => a !== axis);
      const twice = table!.axes.find((a) => index!.axes.includes(a));
      if (twice) return `"${twice}" is an axis of both the index ${printType(index!)} and the table ${printType(table!)}`;
      return {
        dtype: table!.dtype,
        axes: [...index!.axes, ...rest],
        shape: [...index!.shape, ...rest.map((a) => sizeOf(table!, a)!)],
      };
    },
    eval: ([table, index], { axis }) => {
      const at = table!.type.axes.indexOf(axis);
      const inner = stridesOf(table!.shape)[at]!;
      const size = table!.shape[at]!;
      const outer = table!.data.length / (inner * size);
      const out = new Float64Array(index!.data.length * outer * inner);
      index!.data.forEach((raw, i) => {
        const row = Math.min(Math.max(raw, 0), size - 1);
        for (let o = 0; o < outer; o++) {
          const from = (o * size + row) * inner;
          out.set(table!.data.subarray(from, from + inner), (i * outer + o) * inner);
        }
      });
      return [out];
    },
    // The adjoint adds rows up by index: a product with the one-hot matrix, deterministic and without atomics.
    vjp: (b, { dy, inputs }, { axis }) => {
      const [table, index] = [inputs[0]!, inputs[1]!];
      // Clamped like the reading itself. The last row of a table along the batch is known only to the run, by counting.
      const size = sizeOf(table.type, axis)!;
      const along: TensorType = { dtype: "i32", axes: [axis], shape: [size] };
      const last =
        typeof size === "number"
          ? like(b, index, size - 1)
          : expandTo(b, max(b, iota(b, { axis, type: along }), { over: [axis] }), index.type);
      const below = minimum(b, index, last);
      const row = maximum(b, below, like(b, index, 0));
      const hot: TensorType = { dtype: "i32", axes: [...index.type.axes, axis], shape: [...index.type.shape, size] };
      const oneHot = cast(b, eq(b, expandTo(b, row, hot), iota(b, { axis, type: hot })), { dtype: table.type.dtype });
      // A single number picks one row: nothing to add up.
      if (index.type.axes.length === 0) return [mul(b, expandTo(b, oneHot, table.type), expandTo(b, dy, table.type)), undefined];
      const rows = dot(b, oneHot, dy, { over: index.type.axes });
      return [expandTo(b, rows, table.type), undefined];
    },
    cost: () => ({ macs: 0, flops: 0 }),
    fusion: { kind: "indexed" },
    samples: [
      {
        inputs: [t("f32", "class hidden", 5, 3), t("i32", "batch", 4)],
        attrs: { axis: "class" },
        domain: [
          [-2, 2],
          [0, 5],
        ],
      },
      {
        inputs: [t("f32", "class hidden", 3, 2), t("i32", "batch", 9)],
        attrs: { axis: "class" },
        domain: [
          [-2, 2],
          [-2, 6],
        ],
      },
      {
        inputs: [t("f32", "a class b", 2, 4, 3), t("i32", "n m", 2, 3)],
        attrs: { axis: "class" },
        domain: [
          [-2, 2],
          [0, 4],
        ],
      },
      {
        inputs: [t("f32", "a class", 2, 4), t("i32", "")],
        attrs: { axis: "class" },
        domain: [
          [-2, 2],
          [0, 4],
        ],
      },
    ],
  }),
  defineOp(draw, {
    doc: "random numbers from counters (seed, name, first + sample, step, element): the same bits on every adapter at any batch. Operands: seed u32[], step i32[], first i32[], and the inverse-CDF table i32[entry] for kind normal. kind: normal, int (0 … below-1), bernoulli (1 with probability p)",
    stage: "both",
    infer: (inputs, { kind, type, below }) => {
      const wanted = kind === "normal" ? 4 : 3;
      if (inputs.length !== wanted) return `draw of kind ${kind} takes ${wanted} operands, not ${inputs.length}`;
      if (!["normal", "int", "bernoulli"].includes(kind)) return `unknown kind "${kind}": normal, int or bernoulli`;
      if (type.axes.length === 0) return "needs a sample axis: the first axis of its type";
      const dtype = kind === "normal" ? "f32" : "i32";
      if (type.dtype !== dtype) return `a draw of kind ${kind} is ${dtype}, not ${type.dtype}`;
      return kind === "int" && below < 1 ? `below is ${below}, expected at least 1` : type;
    },
    eval: ([seed, step, first, table], { name, kind, p, below, type }, { shapes }) => {
      const out = new Float64Array(shapes[0]!.reduce((a, n) => a * n, 1));
      const perSample = type.axes.length > 0 ? out.length / shapes[0]![0]! : 1;
      const normals = table ? Int32Array.from(table.data) : new Int32Array();
      const key: [number, number, number, number] = [seed!.data[0]! >>> 0, 0, purposeOf(name), step!.data[0]! >>> 0];
      for (let i = 0; i < out.length; i++) {
        const sample = first!.data[0]! + Math.floor(i / perSample);
        const bits = threefry(key, [i % perSample, sample >>> 0, 0, 0])[0]!;
        out[i] =
          kind === "normal"
            ? drawNormal(bits, normals)
            : kind === "int"
              ? drawInt(bits, below)
              : Number(drawBernoulli(bits, threshold(p)));
      }
      return [out];
    },
    vjp: { nondifferentiable: "it is random" },
    cost: (_inputs, [out]) => ({ macs: 0, flops: numel(out!) }),
    fusion: { kind: "indexed" },
    samples: [
      {
        inputs: [t("u32", ""), t("i32", ""), t("i32", "")],
        attrs: { name: "draw.t", kind: "int", p: 0, below: 1000, type: t("i32", "batch", 5) },
        domain: [0, 100],
      },
      {
        inputs: [t("u32", ""), t("i32", ""), t("i32", "")],
        attrs: { name: "draw.drop", kind: "bernoulli", p: 0.3, below: 0, type: t("i32", "batch c", 5, 7) },
        domain: [0, 100],
      },
      {
        inputs: [t("u32", ""), t("i32", ""), t("i32", ""), t("i32", "entry", NORMAL_TABLE_SIZE)],
        attrs: { name: "draw.noise", kind: "normal", p: 0, below: 0, type: t("f32", "batch c", 3, 4) },
        domain: [0, 100],
      },
    ],
  }),
];

/** Probability as the 32-bit threshold below which a draw counts as 1. */
export const threshold = (p: number): number => Math.min(0xffffffff, Math.round(p * 2 ** 32)) >>> 0;
