/**
 * How to use each op in a random module: which operands, prepared how, with which attributes. Ops without an entry here are elementwise
 * and need nothing but operands of one type.
 */
import type { Value } from "../../src/ir/graph.js";
import { opTable } from "../../src/ir/ops/index.js";
import { type DType, dtypes, sameShape, sameType, type TensorType, tensorType } from "../../src/ir/types.js";
import { B, type Size, sameSize } from "../../src/program/size.js";
import type { Grower } from "./random-module.js";

type Propose = (g: Grower) => void;

export function proposals(op: string): Propose | undefined {
  const own = special[op];
  const row = opTable.get(op)!;
  if (own || row.fusion.kind !== "elementwise" || Object.keys(row.attrs).length > 0) return own;
  return (g) => {
    const x = operand(g, op);
    g.emit(op, row.operands.length === 1 ? [x] : [x, partner(g, x)]);
  };
}

/** A value whose dtype an op takes. */
function operand(g: Grower, op: string): Value {
  const row = opTable.get(op)!;
  const count = row.operands.length;
  const fits = (v: Value) =>
    typeof row.infer(
      Array.from({ length: count }, () => v.type),
      {} as never,
    ) !== "string";
  return g.chance(0.1) && fits(g.pool.at(-1)!) ? g.pool.at(-1)! : g.value(fits);
}

const constantFor = (g: Grower, dtype: DType): number => {
  if (dtype === "bool") return g.below(2);
  if (dtype === "u32") return g.below(4);
  return dtype === "i32" ? g.below(4) - 1 : g.pick([0, 1, -1, 0.5, 2, -0.3, g.random() * 3 - 1]);
};

const fillLike = (g: Grower, type: TensorType): Value => g.emit("fill", [], { value: constantFor(g, type.dtype), type });

/** Another operand of x's type: a value that has it, one with fewer axes expanded to it, a constant, or x itself. */
function partner(g: Grower, x: Value, type: TensorType = x.type): Value {
  if (g.chance(0.08) && sameType(x.type, type)) return x;
  const same = g.pool.filter((v) => v !== x && sameType(v.type, type));
  if (same.length > 0 && g.chance(0.6)) return g.pick(same);
  const fits = (v: Value) =>
    v.type.dtype === type.dtype &&
    v.type.axes.every((a, i) => sameSize(v.type.shape[i]!, type.shape[type.axes.indexOf(a)] ?? -1));
  const small = g.pool.filter((v) => !sameType(v.type, type) && fits(v));
  if (small.length > 0 && g.chance(0.5)) return g.emit("expand", [g.pick(small)], { axes: type.axes, sizes: type.shape });
  return fillLike(g, type);
}

/** x² + 0.5, for ops that want a positive operand. */
const positive = (g: Grower, x: Value): Value =>
  g.emit("add", [g.emit("square", [x]), g.emit("fill", [], { value: 0.5, type: x.type })]);
/** x brought into -1 … 1 when it is large. */
const small = (g: Grower, x: Value): Value => (g.most(x) > 4 ? g.emit("tanh", [x]) : x);

const safely =
  (op: string, prepare: (g: Grower, x: Value) => Value): Propose =>
  (g) => {
    g.emit(op, [prepare(g, operand(g, op))]);
  };

/** Comparisons of floats must not hang on a rounding error: operands are one value, or clearly apart everywhere. */
const compare =
  (op: string): Propose =>
  (g) => {
    const x = operand(g, op);
    const y = partner(g, x);
    const [a, b] = [g.data(x), g.data(y)];
    const float = x.type.dtype === "f32" || x.type.dtype === "f16";
    if (x !== y && float && a.some((v, i) => Math.abs(v - b[i]!) < 1e-6)) g.no();
    g.emit(op, [x, y]);
  };

const anyAxis = (g: Grower, x: Value): number => (x.type.axes.length > 0 ? g.below(x.type.axes.length) : g.no());
const subset = (g: Grower, names: readonly string[]): string[] => g.shuffled(names).slice(0, 1 + g.below(names.length));
const ranked = (g: Grower, least: number, most: number): Value =>
  g.value((v) => v.type.axes.length >= least && v.type.axes.length <= most);
const reduce =
  (op: string): Propose =>
  (g) => {
    const x = g.value((v) => v.type.axes.length > 0 && v.type.dtype !== "bool");
    g.emit(op, [x], { over: subset(g, x.type.axes) });
  };

/** Attention of a value to itself under another name of its row axis, and gradients on what it gives. */
function attentionOn(g: Grower, gradient?: "q" | "kv"): void {
  const x = g.value((v) => v.type.axes.length >= 2 && v.type.dtype === "f32" && typeof v.type.shape.at(-1) === "number");
  const q = small(g, x);
  const [row, width] = [q.type.axes.at(-2)!, q.type.axes.at(-1)!];
  const k = g.emit("rename", [q], { axes: q.type.axes.map((a) => (a === row ? "key of it" : a)) });
  const attrs = { over: [width], key: ["key of it"], scale: 0.5 };
  const o = g.emit("attention", [q, k, k], attrs);
  if (!gradient) return;
  const second = (): Value => g.builder.nodes.at(-1)!.outputs[1]!;
  const lse = second();
  const dy = partner(g, o);
  g.emit("attention_grad_q", [q, k, k, o, lse, dy], attrs);
  if (gradient === "kv") g.emit("attention_grad_kv", [q, k, k, lse, second(), dy], attrs);
}

const special: Readonly<Record<string, Propose>> = {
  exp: safely("exp", small),
  expm1: safely("expm1", small),
  log: safely("log", positive),
  sqrt: safely("sqrt", positive),
  rsqrt: safely("rsqrt", positive),
  reciprocal: safely("reciprocal", positive),
  div: (g) => {
    const x = operand(g, "div");
    g.emit("div", [
      x,
      g.chance(0.15) ? g.emit("fill", [], { value: g.pick([1, -1, 2]), type: x.type }) : positive(g, partner(g, x)),
    ]);
  },
  eq: compare("eq"),
  lt: compare("lt"),
  le: compare("le"),
  normalize: (g) => {
    const x = g.value((v) => v.type.axes.length > 0 && v.type.dtype === "f32");
    const known = x.type.axes.filter((_, i) => typeof x.type.shape[i] === "number" && (x.type.shape[i] as number) > 1);
    if (known.length === 0) g.no();
    g.emit("normalize", [x], { over: g.chance(0.6) ? known.slice(-1) : subset(g, known), eps: 0.1 });
  },
  normalize_grad: (g) => {
    const x = g.value((v) => v.type.axes.length > 0 && v.type.dtype === "f32");
    const known = x.type.axes.filter((_, i) => typeof x.type.shape[i] === "number" && (x.type.shape[i] as number) > 1);
    if (known.length === 0) g.no();
    g.emit("normalize_grad", [partner(g, x), x], { over: g.chance(0.6) ? known.slice(-1) : subset(g, known), eps: 0.1 });
  },
  attention: (g) => attentionOn(g),
  attention_grad_q: (g) => attentionOn(g, "q"),
  attention_grad_kv: (g) => attentionOn(g, "kv"),
  // The sum of its parts: which part holds what, a kernel decides by itself.
  sum_of_squares: (g) => {
    const known = g.pool.filter((v) => v.type.dtype === "f32" && v.type.shape.every((n) => typeof n === "number"));
    if (known.length === 0) g.no();
    g.emit("sum_of_squares", g.shuffled(known).slice(0, 3), { parts: 1 });
  },
  accumulate: (g) => {
    const totals = g.shuffled(g.pool.filter((v) => v.type.dtype === "f32")).slice(0, 1 + g.below(3));
    if (totals.length === 0) g.no();
    const count = g.emit("fill", [], { value: g.below(2), type: tensorType("i32", [], []) });
    g.emit("accumulate", [count, ...totals, ...totals.map((x) => partner(g, x))], {});
  },
  sum_runs: (g) => {
    const x = g.value((v) => v.type.axes.length > 0 && v.type.dtype !== "bool");
    const at = g.below(x.type.axes.length);
    const size = x.type.shape[at]!;
    if (typeof size !== "number") g.no();
    const run = g.pick([1, 2, 3, 4, 5, 6].filter((n) => (size as number) % n === 0));
    g.emit("sum_runs", [x], { axis: x.type.axes[at]!, run });
  },
  cast: (g) => {
    const x = g.value(() => true);
    const dtype = g.pick(dtypes.filter((d) => d !== "u32"));
    // Truncation jumps at whole numbers, the cast to bool at 0.
    if (dtype === "i32" || dtype === "bool") {
      const near = (v: number) => Math.abs(v - Math.round(v)) < 1e-6 && !Number.isInteger(v);
      if (g.data(x).some(near)) g.no();
    }
    g.emit("cast", [x], { dtype });
  },
  where: (g) => {
    const x = g.value((v) => v.type.dtype !== "bool");
    const conditions = g.pool.filter((v) => v.type.dtype === "bool" && sameShape(v.type, x.type));
    const cond = conditions.length > 0 && g.chance(0.7) ? g.pick(conditions) : partner(g, x, { ...x.type, dtype: "bool" });
    g.emit("where", [cond, x, partner(g, x)]);
  },
  fill: (g) => {
    fillLike(g, g.value(() => true).type);
  },
  iota: (g) => {
    const { axes, shape } = ranked(g, 1, 4).type;
    g.emit("iota", [], { axis: g.pick(axes), type: tensorType(g.pick(["i32", "f32"] as const), axes, shape) });
  },
  expand: (g) => {
    const x = ranked(g, 0, 3);
    let axes = x.type.axes.map((name, i): readonly [string, Size] => [name, x.type.shape[i]!]);
    for (let n = g.below(3); n > 0; n--)
      axes = axes.toSpliced(g.below(axes.length + 1), 0, [g.axis(axes.map(([name]) => name)), g.pick([B, 1, 2, 3] as Size[])]);
    if (g.chance(0.3)) axes = g.shuffled(axes);
    g.emit("expand", [x], { axes: axes.map(([name]) => name), sizes: axes.map(([, size]) => size) });
  },
  rename: (g) => {
    const x = ranked(g, 1, 5);
    const axes = [...x.type.axes];
    for (const i of axes.keys()) if (g.chance(0.5)) axes[i] = g.axis(axes);
    g.emit("rename", [x], { axes });
  },
  transpose: (g) => {
    const x = ranked(g, 1, 5);
    g.emit("transpose", [x], { axes: g.shuffled(x.type.axes) });
  },
  split: (g) => {
    const x = ranked(g, 1, 4);
    const i = anyAxis(g, x);
    const size = x.type.shape[i]!;
    const factors = typeof size === "number" ? [1, 2, 3, 4].filter((n) => size % n === 0) : [1];
    const factor = g.pick(factors);
    const rest = typeof size === "number" ? size / factor : size;
    const sizes = g.chance(0.15) ? [size] : g.shuffled([factor, rest]);
    const first = g.chance(0.3) ? x.type.axes[i]! : g.axis(x.type.axes);
    const into = sizes.map((_, k) => (k === 0 ? first : g.axis([...x.type.axes, first])));
    g.emit("split", [x], { axis: x.type.axes[i]!, into, sizes });
  },
  merge: (g) => {
    const x = ranked(g, 1, 5);
    const from = anyAxis(g, x);
    const axes = x.type.axes.slice(from, from + 1 + g.below(3));
    g.emit("merge", [x], { axes, into: g.chance(0.3) ? axes[0]! : g.axis(x.type.axes) });
  },
  slice: (g) => {
    const x = ranked(g, 1, 5);
    const i = anyAxis(g, x);
    const size = x.type.shape[i]!;
    // Of an axis of unknown size only the first element is sure to be there.
    const from = typeof size === "number" ? g.below(size) : 0;
    const to = typeof size === "number" ? from + 1 + g.below(size - from) : 1;
    g.emit("slice", [x], { axis: x.type.axes[i]!, from: g.chance(0.2) ? 0 : from, to });
  },
  reverse: (g) => {
    const x = ranked(g, 1, 5);
    g.emit("reverse", [x], { axis: x.type.axes[anyAxis(g, x)]! });
  },
  drop: (g) => {
    const found = g.pool.flatMap((x) => x.type.axes.flatMap((axis, i) => (x.type.shape[i] === 1 ? [{ x, axis }] : [])));
    const { x, axis } = g.pick(found);
    g.emit("drop", [x], { axis });
  },
  pad: (g) => {
    const x = ranked(g, 1, 4);
    g.emit("pad", [x], { axis: x.type.axes[anyAxis(g, x)]!, before: g.below(3), after: g.below(3) });
  },
  concat: (g) => {
    const x = ranked(g, 1, 4);
    const more = Array.from({ length: g.below(3) }, () => partner(g, x));
    g.emit("concat", g.shuffled([x, ...more]), { axis: x.type.axes[anyAxis(g, x)]! });
  },
  sum: reduce("sum"),
  max: reduce("max"),
  dot: (g) => {
    const float = (v: Value) => v.type.dtype === "f32";
    const x = g.value((v) => float(v) && v.type.axes.length > 0);
    const y = g.chance(0.5) ? g.value((v) => float(v) && v.type.axes.some((a) => x.type.axes.includes(a))) : partner(g, x);
    const shared = x.type.axes.filter((a) => y.type.axes.includes(a));
    g.emit("dot", [small(g, x), small(g, y)], { over: subset(g, shared) });
  },
  gather: (g) => {
    const table = ranked(g, 1, 4);
    const index = g.value((v) => v.type.dtype === "i32" && v.type.axes.length < 3);
    const axes = index.type.axes.map((name, i) =>
      table.type.axes.includes(name) ? g.axis([...table.type.axes, ...index.type.axes, String(i)]) : name,
    );
    const moved = axes.some((name, i) => name !== index.type.axes[i]) ? g.emit("rename", [index], { axes }) : index;
    g.emit("gather", [table, moved], { axis: table.type.axes[anyAxis(g, table)]! });
  },
  draw: (g) => {
    const kind = g.pick(["normal", "int", "bernoulli"]);
    const { axes, shape } = ranked(g, 1, 3).type;
    const type = tensorType(kind === "normal" ? "f32" : "i32", axes, shape);
    const name = g.pick(["draw.t", "draw.noise", 'draw "drop"']);
    g.emit("draw", kind === "normal" ? [...g.seeds, g.normals()] : g.seeds, {
      name,
      kind,
      p: g.pick([0, 0.1, 0.5]),
      below: 1 + g.below(7),
      type,
    });
  },
};
