/**
 * `dot`: the one contraction. It sums over the axes named, pairs the other shared axes (batch), and keeps the rest: left's axes first,
 * then right's. Matrix products, attention scores and patch embeddings are all dots.
 */
import { mul as mulSize, printSize, product, type Size, sameSize } from "../../program/size.js";
import type { Value } from "../graph.js";
import { numel, printType, sizeOf, type TensorType } from "../types.js";
import { mul } from "./elementwise.js";
import { type AnyOp, type Dense, declareOp, defineOp, type Emit } from "./op.js";
import { expandTo, gatherStrided, stridesOf, transpose } from "./shape.js";

export const dot = declareOp("dot", ["left", "right"], { over: "names" });

/** How the axes of a dot divide: paired, left alone, right alone, contracted. */
export function dotAxes(left: readonly string[], right: readonly string[], over: readonly string[]) {
  return {
    batch: left.filter((a) => right.includes(a) && !over.includes(a)),
    m: left.filter((a) => !right.includes(a) && !over.includes(a)),
    n: right.filter((a) => !left.includes(a) && !over.includes(a)),
    k: over,
  };
}

const sameOrder = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name, i) => name === b[i]);

/** dot of two values in whichever order gives the axes wanted; a transpose when neither does. */
function dotAs(b: Emit, x: Value, y: Value, over: readonly string[], wanted: readonly string[]): Value {
  const axesOf = (l: Value, r: Value) => {
    const { n } = dotAxes(l.type.axes, r.type.axes, over);
    return [...l.type.axes.filter((a) => !over.includes(a)), ...n];
  };
  if (sameOrder(axesOf(x, y), wanted)) return dot(b, x, y, { over });
  if (sameOrder(axesOf(y, x), wanted)) return dot(b, y, x, { over });
  return transpose(b, dot(b, x, y, { over }), { axes: wanted });
}

/** Reads x as a matrix whose axes are the groups given, in order. */
export function arrange(x: Dense, axes: readonly string[]): Float64Array {
  const strides = stridesOf(x.shape);
  const at = axes.map((name) => x.type.axes.indexOf(name));
  return gatherStrided(
    x.data,
    at.map((i) => x.shape[i]!),
    at.map((i) => strides[i]!),
  );
}

const t = (axes: string, ...shape: number[]): TensorType => ({ dtype: "f32", axes: axes.split(" "), shape });

export const contractOps: readonly AnyOp[] = [
  defineOp(dot, {
    doc: "sum of products over the axes `over`; other shared axes are paired",
    stage: "both",
    infer: ([x, y], { over }) => {
      if (x!.dtype !== y!.dtype) return `dtypes differ: ${x!.dtype} and ${y!.dtype}`;
      if (x!.dtype === "bool") return "takes numbers, not bool";
      if (over.length === 0 || new Set(over).size < over.length) return "needs axes to contract, each once";
      for (const [side, type] of [
        ["left", x!],
        ["right", y!],
      ] as const) {
        const odd = over.find((name) => !type.axes.includes(name));
        if (odd) return `"${odd}" is not an axis of the ${side} side ${printType(type)}`;
      }
      for (const name of x!.axes) {
        const other = sizeOf(y!, name);
        if (other !== undefined && !sameSize(other, sizeOf(x!, name)!)) {
          return `axis "${name}" is ${printSize(sizeOf(x!, name)!)} on the left and ${printSize(other)} on the right`;
        }
      }
      const rest = x!.axes.filter((a) => !over.includes(a));
      const { n } = dotAxes(x!.axes, y!.axes, over);
      return {
        dtype: x!.dtype,
        axes: [...rest, ...n],
        shape: [...rest.map((a) => sizeOf(x!, a)!), ...n.map((a) => sizeOf(y!, a)!)],
      };
    },
    eval: ([x, y], { over }, { round, outputs, shapes }) => {
      const { batch, m, n, k } = dotAxes(x!.type.axes, y!.type.axes, over);
      const length = (d: Dense, names: readonly string[]) =>
        names.reduce((size, a) => size * d.shape[d.type.axes.indexOf(a)]!, 1);
      const [bn, mn, nn, kn] = [length(x!, batch), length(x!, m), length(y!, n), length(x!, k)];
      const a = arrange(x!, [...batch, ...m, ...k]);
      const c = arrange(y!, [...batch, ...n, ...k]);
      const out = new Float64Array(bn * mn * nn);
      for (let p = 0; p < bn; p++) {
        for (let i = 0; i < mn; i++) {
          const row = (p * mn + i) * kn;
          for (let j = 0; j < nn; j++) {
            const col = (p * nn + j) * kn;
            let total = 0;
            for (let q = 0; q < kn; q++) total = round(total + a[row + q]! * c[col + q]!);
            out[(p * mn + i) * nn + j] = total;
          }
        }
      }
      // The result's axes are left's order; the loop made batch, m, n.
      const made = [...batch, ...m, ...n];
      const wanted = outputs[0]!.axes;
      if (sameOrder(made, wanted)) return [out];
      const madeShape = made.map((name) => shapes[0]![wanted.indexOf(name)]!);
      const strides = stridesOf(madeShape);
      return [
        gatherStrided(
          out,
          shapes[0]!,
          wanted.map((name) => strides[made.indexOf(name)]!),
        ),
      ];
    },
    vjp: (b, { dy, inputs }, { over }) => {
      const [x, y] = [inputs[0]!, inputs[1]!];
      const { m, n } = dotAxes(x.type.axes, y.type.axes, over);
      return [gradient(b, dy, y, n, x), gradient(b, dy, x, m, y)];
    },
    cost: ([x, y], [out], { over }) => {
      const macs: Size = mulSize(numel(out!), product(over.map((a) => sizeOf(x ?? y!, a)!)));
      return { macs, flops: mulSize(macs, 2) };
    },
    fusion: { kind: "anchor" },
    samples: [
      { inputs: [t("row in", 3, 5), t("out in", 4, 5)], attrs: { over: ["in"] } },
      { inputs: [t("batch token in", 2, 3, 5), t("in out", 5, 4)], attrs: { over: ["in"] } },
      { inputs: [t("b h token w", 2, 2, 3, 4), t("b h key w", 2, 2, 5, 4)], attrs: { over: ["w"] } },
      { inputs: [t("token b key", 3, 2, 5), t("b key w", 2, 5, 4)], attrs: { over: ["key"] } },
      { inputs: [t("b token out", 2, 3, 4), t("b token in", 2, 3, 5)], attrs: { over: ["b", "token"] } },
      { inputs: [t("row", 6), t("row", 6)], attrs: { over: ["row"] } },
      { inputs: [t("row in", 17, 33), t("out in", 19, 33)], attrs: { over: ["in"] } },
    ],
  }),
];

/** d/dx of dot(x, y): dy contracted with y over y's own axes, or multiplied where y has none. */
function gradient(b: Emit, dy: Value, y: Value, own: readonly string[], x: Value): Value {
  if (own.length > 0) return dotAs(b, dy, y, own, x.type.axes);
  // Nothing to contract: each element of x met one element of y and one of dy.
  return mul(b, expandTo(b, dy, x.type), expandTo(b, y, x.type));
}
