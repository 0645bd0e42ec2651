/**
 * Attention, found in the graph by raise-attention: softmax(scale · q·k) · v without the scores in memory. Its gradients compute the
 * probabilities again from the saved logarithm of each row's sum (Dao 2022, "FlashAttention", section 3.1 and appendix B), in two ops:
 * one goes along the keys for each query, the other along the queries for each key, so that neither needs atomics. What both need of each
 * query, delta = Σ do · o, the first hands to the second.
 */
import { mul as mulSize, product, type Size, sameSize } from "../../program/size.js";
import type { Value } from "../graph.js";
import { printType, sizeOf, type TensorType } from "../types.js";
import { arrange } from "./contract.js";
import { mul } from "./elementwise.js";
import { type AnyOp, type Dense, declareOp, defineOp, type Emit, type EvalContext } from "./op.js";
import { gatherStrided, stridesOf, sum } from "./shape.js";

type Names = readonly string[];
interface Attrs {
  readonly over: Names;
  readonly key: Names;
  readonly scale: number;
}
const schema = { over: "names", key: "names", scale: "num" } as const;

export const attention = declareOp("attention", ["q", "k", "v"], schema);
export const attentionGradQ = declareOp("attention_grad_q", ["q", "k", "v", "o", "lse", "do"], schema);
export const attentionGradKV = declareOp("attention_grad_kv", ["q", "k", "v", "lse", "delta", "do"], schema);

/** How the axes divide: shared by all, of the queries, of the keys, contracted with q, kept of v. */
export function attentionAxes(q: Names, k: Names, v: Names, { over, key }: Pick<Attrs, "over" | "key">) {
  const batch = q.filter((a) => k.includes(a) && !over.includes(a));
  const query = q.filter((a) => !k.includes(a) && !over.includes(a));
  const own = v.filter((a) => !batch.includes(a) && !key.includes(a));
  return { batch, query, key, over, own };
}

const pick = (t: TensorType, names: Names): TensorType => ({ ...t, axes: names, shape: names.map((n) => sizeOf(t, n)!) });

function typesOf([q, k, v]: readonly TensorType[], attrs: Attrs): { readonly o: TensorType; readonly lse: TensorType } | string {
  const { over, key } = attrs;
  const { batch, own } = attentionAxes(q!.axes, k!.axes, v!.axes, attrs);
  if ([q, k, v].some((t) => t!.dtype !== "f32")) return "takes f32";
  if (over.length === 0 || key.length === 0) return "needs axes to contract and axes of keys";
  const same = (a: Names, b: Names) => a.length === b.length && a.every((n) => b.includes(n));
  if (!over.every((a) => q!.axes.includes(a))) return `q ${printType(q!)} lacks an axis of over`;
  if (!same(k!.axes, [...batch, ...over, ...key]))
    return `k ${printType(k!)} should have the axes ${[...batch, ...key, ...over].join(", ")}`;
  if (![...batch, ...key].every((a) => v!.axes.includes(a)))
    return `v ${printType(v!)} lacks an axis of ${[...batch, ...key].join(", ")}`;
  const sizes = [
    ...batch.map((a) => [a, q!, k!, v!] as const),
    ...over.map((a) => [a, q!, k!] as const),
    ...key.map((a) => [a, k!, v!] as const),
  ];
  for (const [a, first, ...rest] of sizes) {
    if (rest.some((t) => !sameSize(sizeOf(t, a)!, sizeOf(first, a)!))) return `axis "${a}" differs in size`;
  }
  if ([...over, ...own].some((a) => typeof (sizeOf(v!, a) ?? sizeOf(q!, a)) !== "number")) return "contracts axes of known size";
  const rows = q!.axes.filter((a) => !over.includes(a));
  if (own.some((a) => rows.includes(a))) return "v keeps an axis that the queries have";
  const lse = pick(q!, rows);
  return { o: { ...lse, axes: [...rows, ...own], shape: [...lse.shape, ...own.map((a) => sizeOf(v!, a)!)] }, lse };
}

const t = (axes: string, ...shape: number[]): TensorType => ({ dtype: "f32", axes: axes.split(" "), shape });

/** Operands as plain matrices, one for each place of the shared axes. */
function matrices(inputs: readonly Dense[], attrs: Attrs) {
  const [q, k, v] = inputs as [Dense, Dense, Dense];
  const axes = attentionAxes(q.type.axes, k.type.axes, v.type.axes, attrs);
  const size = (d: Dense, names: Names) => names.reduce((n, a) => n * d.shape[d.type.axes.indexOf(a)]!, 1);
  return {
    axes,
    q: arrange(q, [...axes.batch, ...axes.query, ...axes.over]),
    k: arrange(k, [...axes.batch, ...axes.key, ...axes.over]),
    v: arrange(v, [...axes.batch, ...axes.key, ...axes.own]),
    batches: size(q, axes.batch),
    queries: size(q, axes.query),
    keys: size(k, axes.key),
    width: size(q, axes.over),
    values: size(v, axes.own),
  };
}

/** Data in the order of axes `made` brought into that of the type. */
function into(data: Float64Array, made: Names, type: TensorType, shape: readonly number[]): Float64Array {
  const strides = stridesOf(made.map((n) => shape[type.axes.indexOf(n)]!));
  return gatherStrided(
    data,
    shape,
    type.axes.map((n) => strides[made.indexOf(n)]!),
  );
}

const dotAt = (a: Float64Array, i: number, b: Float64Array, j: number, n: number, round: EvalContext["round"]): number => {
  let total = 0;
  for (let c = 0; c < n; c++) total = round(total + a[i + c]! * b[j + c]!);
  return total;
};

function evalAttention(inputs: readonly Dense[], attrs: Attrs, { round, outputs, shapes }: EvalContext): Float64Array[] {
  const m = matrices(inputs, attrs);
  const o = new Float64Array(m.batches * m.queries * m.values);
  const lse = new Float64Array(m.batches * m.queries);
  for (let p = 0; p < m.batches; p++) {
    for (let i = 0; i < m.queries; i++) {
      const row = p * m.queries + i;
      const scores = Array.from({ length: m.keys }, (_, j) =>
        round(attrs.scale * dotAt(m.q, row * m.width, m.k, (p * m.keys + j) * m.width, m.width, round)),
      );
      const peak = Math.max(...scores);
      const weights = scores.map((s) => round(Math.exp(s - peak)));
      const total = weights.reduce((a, w) => round(a + w), 0);
      lse[row] = round(peak + Math.log(total));
      for (let c = 0; c < m.values; c++) {
        let sum = 0;
        weights.forEach((w, j) => {
          sum = round(sum + w * m.v[(p * m.keys + j) * m.values + c]!);
        });
        o[row * m.values + c] = round(sum / total);
      }
    }
  }
  const { batch, query, own } = m.axes;
  return [
    into(o, [...batch, ...query, ...own], outputs[0]!, shapes[0]!),
    into(lse, [...batch, ...query], outputs[1]!, shapes[1]!),
  ];
}

/** Σ do · o of each query. */
function deltaOf([q, k, v, o, , g]: readonly Dense[], attrs: Attrs, round: EvalContext["round"]): Float64Array {
  const { axes, batches, queries, values } = matrices([q!, k!, v!], attrs);
  const [a, b] = [o!, g!].map((x) => arrange(x, [...axes.batch, ...axes.query, ...axes.own])) as [Float64Array, Float64Array];
  return Float64Array.from({ length: batches * queries }, (_, row) => dotAt(a, row * values, b, row * values, values, round));
}

/** dq, dk and dv as matrices. */
function gradients(inputs: readonly Dense[], lse: Dense, delta: Float64Array | Dense, attrs: Attrs, round: EvalContext["round"]) {
  const m = matrices(inputs, attrs);
  const rows = [...m.axes.batch, ...m.axes.query];
  const g = arrange(inputs[5]!, [...rows, ...m.axes.own]);
  const logs = arrange(lse, rows);
  const along = delta instanceof Float64Array ? delta : arrange(delta, rows);
  const [dq, dk, dv] = [m.q, m.k, m.v].map((x) => new Float64Array(x.length)) as [Float64Array, Float64Array, Float64Array];
  for (let p = 0; p < m.batches; p++) {
    for (let i = 0; i < m.queries; i++) {
      const row = p * m.queries + i;
      for (let j = 0; j < m.keys; j++) {
        const col = p * m.keys + j;
        const s = round(attrs.scale * dotAt(m.q, row * m.width, m.k, col * m.width, m.width, round));
        const w = round(Math.exp(s - logs[row]!));
        const dw = dotAt(g, row * m.values, m.v, col * m.values, m.values, round);
        const ds = round(attrs.scale * w * (dw - along[row]!));
        for (let c = 0; c < m.width; c++) {
          dq[row * m.width + c] = round(dq[row * m.width + c]! + ds * m.k[col * m.width + c]!);
          dk[col * m.width + c] = round(dk[col * m.width + c]! + ds * m.q[row * m.width + c]!);
        }
        for (let c = 0; c < m.values; c++) dv[col * m.values + c] = round(dv[col * m.values + c]! + w * g[row * m.values + c]!);
      }
    }
  }
  return { axes: m.axes, dq, dk, dv };
}

/** Multiply-adds of matrix products of queries by keys. */
function cost([q, k, v]: readonly TensorType[], attrs: Attrs, ofWidth: number, ofValues: number) {
  const { batch, query, key, over, own } = attentionAxes(q!.axes, k!.axes, v!.axes, attrs);
  const count = (type: TensorType, names: Names): Size => product(names.map((n) => sizeOf(type, n)!));
  const scores = mulSize(mulSize(count(q!, batch), count(q!, query)), count(k!, key));
  const each = ofWidth * (count(q!, over) as number) + ofValues * (count(v!, own) as number);
  const macs = mulSize(scores, each);
  return { macs, flops: mulSize(macs, 2) };
}

const sumOver = (b: Emit, x: Value, over: Names): Value => (over.length === 0 ? x : sum(b, x, { over }));

const refuses = { nondifferentiable: "second derivatives of attention are not there yet", refuses: true };
const qkv = [t("b h token w", 2, 2, 5, 8), t("b h key w", 2, 2, 7, 8), t("b h key w", 2, 2, 7, 8)] as const;
const [o, ofQueries] = [t("b h token w", 2, 2, 5, 8), t("b h token", 2, 2, 5)];
const attrs = { over: ["w"], key: ["key"], scale: 0.4 };
const unit = [-1, 1] as const;
const logs = [2, 4] as const;

export const attentionOps: readonly AnyOp[] = [
  defineOp(attention, {
    doc: "softmax over `key` of scale · (q · k over `over`), times v; second output: the logarithm of each row's sum of exponentials",
    stage: "both",
    infer: (inputs, a) => {
      const types = typesOf(inputs, a);
      return typeof types === "string" ? types : [types.o, types.lse];
    },
    eval: evalAttention,
    vjp: (b, { dy, inputs, outputs: [o, lse], wanted }, a) => {
      // Where nobody asks for dq, only what comes with it is found.
      const [dq, delta] = wanted[0]
        ? b.emit("attention_grad_q", [...inputs, o!, lse!, dy], a)
        : [undefined, sumOver(b, mul(b, o!, dy), o!.type.axes.slice(lse!.type.axes.length))];
      return [dq, ...b.emit("attention_grad_kv", [...inputs, lse!, delta!, dy], a)];
    },
    cost: (inputs, _outputs, a) => cost(inputs, a, 1, 1),
    fusion: { kind: "kernel" },
    samples: [
      { inputs: qkv, attrs },
      { inputs: [t("token w", 17, 6), t("key w", 50, 6), t("key value", 50, 3)], attrs },
      { inputs: [t("b token h w", 2, 3, 2, 4), t("b key h w", 2, 3, 2, 4), t("b key h w", 2, 3, 2, 4)], attrs },
      { inputs: [t("i j w", 3, 4, 5), t("m n w", 2, 3, 5), t("m n w", 2, 3, 5)], attrs: { ...attrs, key: ["m", "n"] } },
      { inputs: [t("token w", 5, 3), t("key w", 7, 3), t("key", 7)], attrs },
    ],
  }),
  defineOp(attentionGradQ, {
    doc: "the gradient of attention by q, from o, the logarithms of the sums, and the gradient of o; second output: the sum of o times its gradient, of each query",
    stage: "both",
    infer: (inputs, a) => {
      const types = typesOf(inputs, a);
      return typeof types === "string" ? types : [inputs[0]!, types.lse];
    },
    eval: (inputs, a, { round, outputs, shapes }) => {
      const delta = deltaOf(inputs, a, round);
      const { axes, dq } = gradients(inputs, inputs[4]!, delta, a, round);
      const rows = [...axes.batch, ...axes.query];
      return [into(dq, [...rows, ...axes.over], outputs[0]!, shapes[0]!), into(delta, rows, outputs[1]!, shapes[1]!)];
    },
    vjp: refuses,
    cost: (inputs, _outputs, a) => cost(inputs, a, 2, 1),
    fusion: { kind: "kernel" },
    samples: [{ inputs: [...qkv, o, ofQueries, o], attrs, domain: [unit, unit, unit, unit, logs, unit] }],
  }),
  defineOp(attentionGradKV, {
    doc: "the gradients of attention by k and v, from the logarithms of the sums, the second output of `attention_grad_q`, and the gradient of o",
    stage: "both",
    infer: (inputs, a) => {
      const types = typesOf(inputs, a);
      return typeof types === "string" ? types : [inputs[1]!, inputs[2]!];
    },
    eval: (inputs, a, { round, outputs, shapes }) => {
      const { axes, dk, dv } = gradients(inputs, inputs[3]!, inputs[4]!, a, round);
      return [
        into(dk, [...axes.batch, ...axes.key, ...axes.over], outputs[0]!, shapes[0]!),
        into(dv, [...axes.batch, ...axes.key, ...axes.own], outputs[1]!, shapes[1]!),
      ];
    },
    vjp: refuses,
    cost: (inputs, _outputs, a) => cost(inputs, a, 2, 2),
    fusion: { kind: "kernel" },
    samples: [{ inputs: [...qkv, ofQueries, ofQueries, o], attrs, domain: [unit, unit, unit, logs, unit, unit] }],
  }),
];
