/** Pairs of ops that rules of simplify look for, and that dice alone would rarely throw. */
import type { Value } from "../../src/ir/graph.js";
import type { DType } from "../../src/ir/types.js";
import { B, type Size } from "../../src/program/size.js";
import type { Grower } from "./random-module.js";

const float = (g: Grower): Value => g.value((v) => v.type.dtype === "f32");
const ranked = (g: Grower, least = 1, most = 3): Value =>
  g.value((v) => v.type.axes.length >= least && v.type.axes.length <= most);
const constant = (g: Grower, x: Value, value: number): Value => g.emit("fill", [], { value, type: x.type });
const other = (g: Grower, x: Value): Value => {
  const same = g.pool.filter((v) => v !== x && JSON.stringify(v.type) === JSON.stringify(x.type));
  return same.length > 0 ? g.pick(same) : g.emit("square", [x]);
};
const either = (g: Grower, op: string, x: Value, y: Value): Value => g.emit(op, g.chance(0.5) ? [x, y] : [y, x]);

/** x with one axis more, and that axis. */
function widened(g: Grower, size: Size): { wide: Value; axis: string } {
  const x = g.value((v) => v.type.axes.length < 4 && v.type.dtype === "f32");
  const axis = g.axis(x.type.axes);
  const at = g.below(x.type.axes.length + 1);
  const wide = g.emit("expand", [x], { axes: x.type.axes.toSpliced(at, 0, axis), sizes: x.type.shape.toSpliced(at, 0, size) });
  return { wide, axis };
}

export const idioms: readonly ((g: Grower) => void)[] = [
  (g) => {
    const x = ranked(g);
    const axis = g.pick(x.type.axes);
    g.emit("reverse", [g.emit("reverse", [x], { axis })], { axis });
  },
  (g) => {
    const x = float(g);
    either(g, "add", x, constant(g, x, 0));
    g.emit("sub", [x, constant(g, x, 0)]);
  },
  (g) => {
    const x = float(g);
    g.emit("sub", [constant(g, x, 0), x]);
  },
  (g) => {
    const x = float(g);
    either(g, "mul", x, constant(g, x, g.pick([1, -1])));
    g.emit("div", [x, constant(g, x, g.pick([1, -1]))]);
  },
  (g) => {
    const x = float(g);
    either(g, "add", x, g.emit("neg", [other(g, x)]));
    g.emit("sub", [x, g.emit("neg", [other(g, x)])]);
  },
  (g) => {
    g.emit("neg", [g.emit("neg", [float(g)])]);
  },
  (g) => {
    const x = g.value((v) => v.type.dtype === "bool");
    either(g, g.pick(["and", "or"]), g.emit("not", [g.emit("not", [x])]), constant(g, x, g.below(2)));
  },
  (g) => {
    const x = float(g);
    const cond = g.emit("fill", [], { value: g.below(2), type: { ...x.type, dtype: "bool" as DType } });
    g.emit("where", [cond, x, other(g, x)]);
  },
  (g) => {
    const { wide, axis } = widened(g, g.pick([2, 3]));
    g.emit("sum", [wide], { over: [axis] });
  },
  (g) => {
    const { wide } = widened(g, g.pick([2, B] as Size[]));
    g.emit("transpose", [wide], { axes: g.shuffled(wide.type.axes) });
  },
  (g) => {
    const { wide, axis } = widened(g, 1);
    g.emit("drop", [wide], { axis });
  },
  (g) => {
    const x = ranked(g, 2, 4);
    const from = g.below(x.type.axes.length - 1);
    const axes = x.type.axes.slice(from, from + 2);
    const merged = g.emit("merge", [x], { axes, into: g.axis(x.type.axes) });
    const into = g.chance(0.5) ? axes : [axes[0]!, g.axis([...x.type.axes, ...merged.type.axes])];
    g.emit("split", [merged], { axis: merged.type.axes[from]!, into, sizes: x.type.shape.slice(from, from + 2) });
  },
  (g) => {
    const x = ranked(g, 1, 4);
    const i = g.below(x.type.axes.length);
    const into = [g.axis(x.type.axes), "inner"];
    const split = g.emit("split", [x], { axis: x.type.axes[i]!, into, sizes: g.shuffled([1, x.type.shape[i]!]) });
    g.emit("merge", [split], { axes: into, into: g.chance(0.5) ? x.type.axes[i]! : g.axis(split.type.axes) });
  },
  (g) => {
    const x = ranked(g);
    const i = g.below(x.type.axes.length);
    const [axis, size] = [x.type.axes[i]!, x.type.shape[i]!];
    const padded = g.emit("pad", [x], { axis, before: 2, after: 1 });
    const from = g.below(3);
    g.emit("slice", [padded], { axis, from, to: typeof size === "number" ? from + 1 + g.below(size) : from + 1 });
  },
  (g) => {
    const x = ranked(g);
    const shape = x.type;
    g.emit(g.pick(["sum", "max"]), [g.emit("fill", [], { value: g.pick([0, 0.5]), type: { ...shape, dtype: "f32" as DType } })], {
      over: g.shuffled(shape.axes).slice(0, 1),
    });
  },
  (g) => {
    const x = ranked(g, 2, 4);
    const turned = g.emit("transpose", [x], { axes: g.shuffled(x.type.axes) });
    g.emit("transpose", [turned], { axes: g.chance(0.5) ? x.type.axes : g.shuffled(x.type.axes) });
  },
  (g) => {
    const x = g.value((v) => v.type.shape.some((n) => typeof n === "number" && n > 1));
    const i = g.pick([...x.type.shape.keys()].filter((k) => Number(x.type.shape[k]) > 1));
    const [axis, size] = [x.type.axes[i]!, Number(x.type.shape[i])];
    const part = g.emit("slice", [x], { axis, from: g.below(2), to: size });
    g.emit("slice", [part], { axis, from: 0, to: 1 });
  },
  (g) => {
    const x = ranked(g);
    const again = g.emit("rename", [x], { axes: x.type.axes.map(() => g.axis(x.type.axes)) });
    g.emit("rename", [again], { axes: x.type.axes });
  },
  (g) => {
    const x = ranked(g, 2, 3);
    const { axes, shape } = x.type;
    const order = g.shuffled([...axes.keys()]);
    g.emit("expand", [x], { axes: order.map((i) => axes[i]!), sizes: order.map((i) => shape[i]!) });
  },
  (g) => {
    const { wide } = widened(g, 2);
    const axis = g.axis(wide.type.axes);
    g.emit("expand", [wide], { axes: [axis, ...wide.type.axes], sizes: [B, ...wide.type.shape] });
  },
  (g) => {
    const x = ranked(g);
    const zero = g.emit("fill", [], { value: 0, type: x.type });
    const axis = x.type.axes[0]!;
    g.emit("pad", [g.pick([zero, x])], { axis, before: g.below(2), after: 0 });
    g.emit("concat", g.chance(0.5) ? [zero, zero] : [x], { axis });
    g.emit("cast", [x], { dtype: x.type.dtype });
  },
  (g) => {
    const x = float(g);
    g.emit(g.pick(["maximum", "minimum", "mul"]), [x, x]);
    g.emit("stop_gradient", [x]);
  },
  (g) => {
    const x = g.value((v) => v.type.dtype === "f32" && v.type.axes.length > 0 && typeof v.type.shape.at(-1) === "number");
    const axis = x.type.axes.at(-1)!;
    const size = Number(x.type.shape.at(-1));
    const parts = [0, 1, 2].map((i) => g.emit("pad", [other(g, x)], { axis, before: i * size, after: (2 - i) * size }));
    const [a, b, c] = g.shuffled(parts) as [Value, Value, Value];
    either(g, "add", a, either(g, "add", b, c));
  },
];

/**
 * Layer norm and attention in spellings that the raise passes know, now and then with a second reader inside, which forbids it, and
 * several weights on one operand.
 */
export const patterns: readonly ((g: Grower) => void)[] = [
  (g) => {
    const x = g.value((v) => v.type.dtype === "f32" && typeof v.type.shape.at(-1) === "number" && g.elements(v.type) > 1);
    const over = [x.type.axes.at(-1)!];
    const back = (v: Value) => g.emit("expand", [v], { axes: x.type.axes, sizes: x.type.shape });
    const mean = (v: Value) => {
      const total = g.emit("sum", [v], { over });
      return either(g, "mul", total, constant(g, total, 1 / Number(x.type.shape.at(-1))));
    };
    const centred = g.emit("sub", [x, back(mean(x))]);
    const variance = mean(g.chance(0.5) ? g.emit("square", [centred]) : g.emit("mul", [centred, centred]));
    const spread = g.emit("add", [variance, constant(g, variance, 0.1)]);
    if (g.chance(0.5)) either(g, "mul", centred, back(g.emit("rsqrt", [spread])));
    else g.emit("div", [centred, back(g.emit("sqrt", [spread]))]);
    if (g.chance(0.2)) g.emit("square", [centred]);
  },
  (g) => {
    const x = g.value((v) => v.type.dtype === "f32" && v.type.axes.length >= 2 && v.type.axes.length <= 3);
    const q = g.most(x) > 2 ? g.emit("tanh", [x]) : x;
    const [token, width] = g.shuffled(q.type.axes.slice(-2)) as [string, string];
    const key = g.axis(q.type.axes);
    const k = g.emit("rename", [q], { axes: q.type.axes.map((a) => (a === token ? key : a)) });
    const scores = g.emit("dot", g.shuffled([q, k]), { over: [width] });
    const scaled = g.chance(0.5) ? scores : either(g, "mul", scores, constant(g, scores, 0.5));
    const e = g.emit("exp", [scaled]);
    const total = g.emit("sum", [e], { over: [key] });
    const like = (v: Value) => g.emit("expand", [total], { axes: v.type.axes, sizes: v.type.shape });
    if (g.chance(0.5)) g.emit("dot", g.shuffled([g.emit("div", [e, like(e)]), k]), { over: [key] });
    else {
      const mixed = g.emit("dot", g.shuffled([e, k]), { over: [key] });
      g.emit("div", [mixed, like(mixed)]);
    }
    if (g.chance(0.2)) g.emit("square", [scaled]);
  },
  (g) => {
    const x = g.value((v) => v.type.dtype === "f32" && v.type.axes.length <= 2 && v.type.shape.some((n) => n === 4 || n === 6));
    const at = x.type.shape.findIndex((n) => n === 4 || n === 6);
    const [over, width] = [x.type.axes[at]!, x.type.shape[at]!];
    const biased = g.chance(0.5);
    let wide = x;
    for (let i = 0; i < 3; i++) {
      const own = i === 0 || g.chance(0.5) ? "out" : g.axis([...x.type.axes, "out"]);
      const weight = g.weight({ dtype: "f32", axes: [own, over], shape: [64, width] });
      const y = g.emit("dot", [i === 2 ? g.emit("square", [x]) : x, weight], { over: [over] });
      const bias = biased ? g.weight({ dtype: "f32", axes: [own], shape: [64] }) : undefined;
      wide = bias ? either(g, "add", y, g.emit("expand", [bias], { axes: y.type.axes, sizes: y.type.shape })) : y;
      g.emit("sum", [g.chance(0.5) ? g.emit("tanh", [wide]) : wide], { over: [own] });
    }
  },
];
