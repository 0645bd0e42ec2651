/**
 * Layer norm without scale and shift, found in the graph by raise-norm. Both ops are row ops: a kernel that has the rows in hand computes
 * them there, from primitives. The gradient computes the statistics again from x, so that nothing but x need be kept.
 */

import { mul as mulSize, type Size } from "../../program/size.js";
import type { Value } from "../graph.js";
import { numel, printType, sizeOf, type TensorType } from "../types.js";
import { add, mul, neg, rsqrt, square, sub } from "./elementwise.js";
import { type AnyOp, type Dense, declareOp, defineOp, type Emit, type EvalContext } from "./op.js";
import { fill } from "./pointwise.js";
import { expandTo, gatherStrided, stridesOf, sum } from "./shape.js";

interface Attrs {
  readonly over: readonly string[];
  readonly eps: number;
}

export const normalize = declareOp("normalize", ["x"], { over: "names", eps: "num" });
export const normalizeGrad = declareOp("normalize_grad", ["dy", "x"], { over: "names", eps: "num" });

const t = (axes: string, ...shape: number[]): TensorType => ({ dtype: "f32", axes: axes.split(" "), shape });

function infer(inputs: readonly TensorType[], { over }: Attrs): TensorType | string {
  const x = inputs.at(-1)!;
  if (x.dtype !== "f32") return `takes f32, not ${x.dtype}`;
  const odd = over.find((name) => !x.axes.includes(name));
  if (odd) return `"${odd}" is not an axis of ${printType(x)}`;
  if (over.length === 0 || new Set(over).size < over.length) return "needs axes to normalise over, each once";
  if (over.some((name) => typeof sizeOf(x, name) !== "number")) return "normalises over axes of known size";
  return inputs.every((y) => printType(y) === printType(x)) ? x : `dy is ${printType(inputs[0]!)}, x is ${printType(x)}`;
}

const rowFlops = (x: TensorType, each: number): Size => mulSize(numel(x), each);

/** The number of elements that share a mean. */
const countOf = (x: TensorType, over: readonly string[]): number => over.reduce((n, name) => n * (sizeOf(x, name) as number), 1);

/** Mean over the axes, repeated along them. */
function mean(b: Emit, x: Value, over: readonly string[]): Value {
  const total = sum(b, x, { over });
  const average = mul(b, total, fill(b, { value: 1 / countOf(x.type, over), type: total.type }));
  return expandTo(b, average, x.type);
}

/** x − mean, and 1/√(variance + eps) repeated. */
function statistics(b: Emit, x: Value, { over, eps }: Attrs): { readonly centred: Value; readonly scale: Value } {
  const centred = sub(b, x, mean(b, x, over));
  const total = sum(b, square(b, centred), { over });
  const { type } = total;
  const variance = mul(b, total, fill(b, { value: 1 / countOf(x.type, over), type }));
  const scale = rsqrt(b, add(b, variance, fill(b, { value: eps, type })));
  return { centred, scale: expandTo(b, scale, x.type) };
}

/** Goes through rows along `over`: `row` gets the element numbers of one. */
function eachRow(x: Dense, over: readonly string[], row: (at: Float64Array) => void): void {
  const order = [...x.type.axes.keys()].sort(
    (a, b) => Number(over.includes(x.type.axes[a]!)) - Number(over.includes(x.type.axes[b]!)) || a - b,
  );
  const strides = stridesOf(x.shape);
  const numbers = gatherStrided(
    Float64Array.from(x.data, (_, i) => i),
    order.map((i) => x.shape[i]!),
    order.map((i) => strides[i]!),
  );
  const length = over.reduce((n, name) => n * x.shape[x.type.axes.indexOf(name)]!, 1);
  for (let from = 0; from < numbers.length; from += length) row(numbers.subarray(from, from + length));
}

function meanOf(values: Float64Array, round: EvalContext["round"]): number {
  let total = 0;
  for (let from = 0; from < values.length; from += 64) {
    let block = 0;
    for (let i = from; i < Math.min(from + 64, values.length); i++) block = round(block + values[i]!);
    total = round(total + block);
  }
  return round(total / values.length);
}

/** x̂ of one row and its 1/σ. */
function normalised(values: Float64Array, eps: number, round: EvalContext["round"]) {
  const centre = meanOf(values, round);
  const centred = values.map((v) => round(v - centre));
  const scale = round(
    1 /
      Math.sqrt(
        round(
          meanOf(
            centred.map((v) => round(v * v)),
            round,
          ) + eps,
        ),
      ),
  );
  return { unit: centred.map((v) => round(v * scale)), scale };
}

export const normOps: readonly AnyOp[] = [
  defineOp(normalize, {
    doc: "mean 0 and variance 1 (biased) along axes: (x − mean) / √(variance + eps), in two passes",
    stage: "both",
    infer,
    eval: ([x], { over, eps }, { round }) => {
      const out = new Float64Array(x!.data.length);
      eachRow(x!, over, (at) => {
        const { unit } = normalised(
          Float64Array.from(at, (i) => x!.data[i]!),
          eps,
          round,
        );
        unit.forEach((v, k) => {
          out[at[k]!] = v;
        });
      });
      return [out];
    },
    vjp: (b, { dy, inputs }, attrs) => [normalizeGrad(b, dy, inputs[0]!, attrs)],
    cost: ([x]) => ({ macs: 0, flops: rowFlops(x!, 6) }),
    fusion: {
      kind: "row",
      decompose: (b, [x], attrs) => {
        const { centred, scale } = statistics(b, x!, attrs as unknown as Attrs);
        return mul(b, centred, scale);
      },
    },
    samples: [
      { inputs: [t("batch token hidden", 2, 3, 48)], attrs: { over: ["hidden"], eps: 1e-6 } },
      { inputs: [t("token i j", 4, 5, 7)], attrs: { over: ["i", "j"], eps: 1e-5 } },
      { inputs: [t("channel token", 6, 5)], attrs: { over: ["channel"], eps: 1e-6 } },
    ],
  }),
  defineOp(normalizeGrad, {
    doc: "the gradient of normalize: (dy − mean(dy) − x̂ · mean(dy · x̂)) / σ, the statistics computed again from x",
    stage: "both",
    infer,
    eval: ([dy, x], { over, eps }, { round }) => {
      const out = new Float64Array(x!.data.length);
      eachRow(x!, over, (at) => {
        const { unit, scale } = normalised(
          Float64Array.from(at, (i) => x!.data[i]!),
          eps,
          round,
        );
        const d = Float64Array.from(at, (i) => dy!.data[i]!);
        const level = meanOf(d, round);
        const along = meanOf(
          d.map((v, k) => round(v * unit[k]!)),
          round,
        );
        at.forEach((i, k) => {
          out[i] = round(scale * round(round(d[k]! - level) - round(unit[k]! * along)));
        });
      });
      return [out];
    },
    vjp: { nondifferentiable: "second derivatives of a layer norm are not there yet", refuses: true },
    cost: ([x]) => ({ macs: 0, flops: rowFlops(x!, 12) }),
    fusion: {
      kind: "row",
      decompose: (b, [dy, x], attrs) => {
        const { over } = attrs as unknown as Attrs;
        const { centred, scale } = statistics(b, x!, attrs as unknown as Attrs);
        const unit = mul(b, centred, scale);
        const level = mean(b, dy!, over);
        const along = mean(b, mul(b, dy!, unit), over);
        const inner = add(b, sub(b, dy!, level), neg(b, mul(b, unit, along)));
        return mul(b, scale, inner);
      },
    },
    samples: [
      { inputs: [t("batch token hidden", 2, 3, 48), t("batch token hidden", 2, 3, 48)], attrs: { over: ["hidden"], eps: 1e-6 } },
      { inputs: [t("channel token", 6, 5), t("channel token", 6, 5)], attrs: { over: ["channel"], eps: 1e-6 } },
    ],
  }),
];
