/** raise-attention on the product of spellings of attention, and on near misses, which stay the very same module. */
import { describe, expect, test } from "vitest";
import { Builder } from "../../src/ir/builder.js";
import { evaluate } from "../../src/ir/eval.js";
import type { Module, Value } from "../../src/ir/graph.js";
import { dot } from "../../src/ir/ops/contract.js";
import { add, cast, div, exp, mul, reciprocal, stopGradient, sub, tanh } from "../../src/ir/ops/elementwise.js";
import { fill } from "../../src/ir/ops/pointwise.js";
import { max } from "../../src/ir/ops/reduce.js";
import { drop, expandTo, merge, rename, slice, split, sum, transpose } from "../../src/ir/ops/shape.js";
import { tensorType } from "../../src/ir/types.js";
import { raiseAttention } from "../../src/passes/raise-attention.js";
import { B } from "../../src/program/size.js";

const [T, H, W] = [5, 2, 6];
const number = (b: Builder, value: number, like: Value): Value => fill(b, { value, type: like.type });

/** q [batch, head, token, width], k and v [batch, head, key, width], by several routes. */
const routes: Record<string, (b: Builder) => [Value, Value, Value]> = {
  "one projection, split": (b) => {
    const qkv = b.param("qkv", "input", tensorType("f32", ["batch", "token", "qkv"], [B, T, 3 * H * W]));
    const parts = split(b, qkv, { axis: "qkv", into: ["three", "head", "width"], sizes: [3, H, W] });
    const turned = transpose(b, parts, { axes: ["three", "batch", "head", "token", "width"] });
    const [q, k, v] = [0, 1, 2].map((i) => drop(b, slice(b, turned, { axis: "three", from: i, to: i + 1 }), { axis: "three" }));
    const keys = { axes: ["batch", "head", "key", "width"] };
    return [q!, rename(b, k!, keys), rename(b, v!, keys)];
  },
  "three projections": (b) => {
    const one = (name: string, axis: string) => {
      const x = b.param(name, "input", tensorType("f32", ["batch", axis, "hidden"], [B, T, H * W]));
      return split(b, x, { axis: "hidden", into: ["head", "width"], sizes: [H, W] });
    };
    return [one("q", "token"), one("k", "key"), one("v", "key")];
  },
  "other keys": (b) => {
    const one = (name: string, axis: string, n: number) =>
      b.param(name, "input", tensorType("f32", ["head", "batch", axis, "width"], [H, B, n, W]));
    return [one("q", "token", T), one("k", "key", 9), one("v", "key", 9)];
  },
  "slices of one": (b) => {
    const qkv = b.param("qkv", "input", tensorType("f32", ["batch", "token", "qkv"], [B, T, 3 * H * W]));
    const part = (i: number) =>
      split(b, slice(b, qkv, { axis: "qkv", from: i * H * W, to: (i + 1) * H * W }), {
        axis: "qkv",
        into: ["width", "head"],
        sizes: [W, H],
      });
    const keys = { axes: ["batch", "key", "width", "head"] };
    return [part(0), rename(b, part(1), keys), rename(b, part(2), keys)];
  },
};
type Scores = (b: Builder, q: Value, k: Value) => Value;
const over = { over: ["width"] };
const c = W ** -0.5;
const scalings: Record<string, Scores> = {
  none: (b, q, k) => dot(b, q, k, over),
  after: (b, q, k) => {
    const s = dot(b, q, k, over);
    return mul(b, s, number(b, c, s));
  },
  "on q": (b, q, k) => dot(b, mul(b, q, number(b, c, q)), k, over),
  "on k, k first": (b, q, k) => dot(b, div(b, k, number(b, 1 / c, k)), q, over),
  "on both": (b, q, k) => dot(b, mul(b, number(b, 0.5, q), q), mul(b, k, number(b, 0.7, k)), over),
  "a divisor, turned": (b, q, k) => {
    const s = dot(b, q, k, over);
    const turned = transpose(b, s, { axes: s.type.axes.toReversed() });
    return div(b, turned, number(b, 1 / c, turned));
  },
};
type Mix = (b: Builder, s: Value, v: Value) => Value;
const key = { over: ["key"] };
const centred = (b: Builder, s: Value) => sub(b, s, expandTo(b, stopGradient(b, max(b, s, key)), s.type));
const mixes: Record<string, Mix> = {
  "largest taken off, divided": (b, s, v) => {
    const e = exp(b, centred(b, s));
    return dot(b, div(b, e, expandTo(b, sum(b, e, key), e.type)), v, key);
  },
  "plain, divided": (b, s, v) => {
    const e = exp(b, s);
    return dot(b, div(b, e, expandTo(b, sum(b, e, key), e.type)), v, key);
  },
  "times the reciprocal, v first": (b, s, v) => {
    const e = exp(b, sub(b, s, expandTo(b, max(b, s, key), s.type)));
    return dot(b, v, mul(b, e, expandTo(b, reciprocal(b, sum(b, e, key)), e.type)), key);
  },
  "divided at the end": (b, s, v) => {
    const e = exp(b, centred(b, s));
    const o = dot(b, e, v, key);
    return div(b, o, expandTo(b, sum(b, e, key), o.type));
  },
};

function build(
  route: (b: Builder) => [Value, Value, Value],
  scores: Scores,
  mix: Mix,
  extra?: (v: Record<string, Value>) => Value,
): Module {
  const b = new Builder();
  const [q, k, v] = route(b);
  const s = scores(b, q, k);
  const o = mix(b, s, v);
  const results = [{ name: "y", value: o }, ...(extra ? [{ name: "extra", value: extra({ s, q, o }) }] : [])];
  return { stage: "graph", fns: [b.finish("main", results)] };
}

const run = (m: Module) => {
  const values = new Map(
    m.fns[0]!.params.map((p, i) => {
      const shape = p.value.type.shape.map((s) => (typeof s === "number" ? s : 2));
      return [
        p.name,
        { shape, data: Float64Array.from({ length: shape.reduce((a, n) => a * n, 1) }, (_, j) => Math.sin(2 * j + i)) },
      ];
    }),
  );
  return evaluate(m, "main", values, { batch: 2, precision: "f64" }).get("y")!.data;
};

const product = Object.entries(routes).flatMap(([a, route]) =>
  Object.entries(scalings).flatMap(([s, scores]) =>
    Object.entries(mixes).map(([m, mix]) => [`${a}; scale ${s}; ${m}`, build(route, scores, mix)] as const),
  ),
);

describe(`${product.length} spellings`, () => {
  test.each(product)("%s", (_name, before) => {
    const after = raiseAttention.run(before, {});
    expect(after.fns[0]!.nodes.filter((n) => n.op === "attention").length).toBe(1);
    const [expected, got] = [run(before), run(after)];
    got.forEach((v, i) => {
      expect(Math.abs(v - expected[i]!)).toBeLessThan(1e-9);
    });
  });
});

describe("left alone", () => {
  const route = routes["three projections"]!;
  const plain = scalings.after!;
  const mix = mixes["largest taken off, divided"]!;
  const softmax = (b: Builder, s: Value, axes: string[]) => {
    const e = exp(b, sub(b, s, expandTo(b, stopGradient(b, max(b, s, { over: axes })), s.type)));
    return div(b, e, expandTo(b, sum(b, e, { over: axes }), e.type));
  };
  const param = (b: Builder, name: string, axes: string[], like: Value) =>
    expandTo(
      b,
      b.param(
        name,
        "input",
        tensorType(
          "f32",
          axes,
          axes.map((a) => like.type.shape[like.type.axes.indexOf(a)]!),
        ),
      ),
      like.type,
    );
  const then =
    (work: (b: Builder, s: Value) => Value): Scores =>
    (b, q, k) =>
      work(b, plain(b, q, k));
  const misses: Record<string, Module> = {
    "a scale for each query": build(
      route,
      then((b, s) => mul(b, s, param(b, "scale", ["token"], s))),
      mix,
    ),
    "a scale for each head": build(
      route,
      then((b, s) => mul(b, s, param(b, "scale", ["head"], s))),
      mix,
    ),
    "softmax over the queries": build(route, plain, (b, s, v) => dot(b, softmax(b, s, ["token"]), v, key)),
    "softmax over queries and keys": build(route, plain, (b, s, v) => dot(b, softmax(b, s, ["token", "key"]), v, key)),
    "a mask": build(
      route,
      then((b, s) => add(b, s, param(b, "mask", ["token", "key"], s))),
      mix,
    ),
    "a bias": build(
      route,
      then((b, s) => add(b, s, number(b, 0.5, s))),
      mix,
    ),
    "soft capping": build(
      route,
      then((b, s) => tanh(b, s)),
      mix,
    ),
    "a second reader of the scores": build(route, plain, mix, ({ s }) => s!),
    "weights dropped": build(route, plain, (b, s, v) => {
      const p = softmax(b, s, ["key"]);
      return dot(b, mul(b, p, param(b, "kept", ["token", "key"], p)), v, key);
    }),
    "the sum of something else": build(route, plain, (b, s, v) => {
      const e = exp(b, s);
      return dot(b, div(b, e, expandTo(b, sum(b, exp(b, mul(b, s, s)), key), e.type)), v, key);
    }),
    "the largest of something else": build(route, plain, (b, s, v) => {
      const e = exp(b, sub(b, s, expandTo(b, max(b, mul(b, s, s), key), s.type)));
      return dot(b, div(b, e, expandTo(b, sum(b, e, key), e.type)), v, key);
    }),
    "v contracted over its width": build(route, plain, (b, s, v) => {
      const p = softmax(b, s, ["key"]);
      return dot(b, rename(b, p, { axes: p.type.axes.map((a) => (a === "key" ? "other" : a)) }), sum(b, v, { over: ["key"] }), {
        over: ["head"],
      });
    }),
    "not normalised": build(route, plain, (b, s, v) => dot(b, exp(b, s), v, key)),
    "exp of a cast": build(
      route,
      then((b, s) => cast(b, cast(b, s, { dtype: "f16" }), { dtype: "f32" })),
      mix,
    ),
    "scores of merged heads": build(
      (b) => {
        const [q, k, v] = route(b);
        const whole = (x: Value) => merge(b, x, { axes: ["head", "width"], into: "width" });
        return [whole(q), whole(k), v];
      },
      plain,
      (b, s, v) =>
        dot(b, softmax(b, s, ["key"]), drop(b, slice(b, v, { axis: "head", from: 0, to: 1 }), { axis: "head" }), {
          over: ["batch"],
        }),
    ),
  };
  test.each(Object.entries(misses))("%s", (_name, module) => {
    expect(raiseAttention.run(module, {})).toBe(module);
  });
  test("a gradient by the scores", () => {
    const b = new Builder();
    const [q, k, v] = route(b);
    const s = plain(b, q, k);
    const o = mix(b, s, v);
    const [g] = b.gradient(sum(b, o, { over: o.type.axes }), [s]);
    const module: Module = { stage: "graph", fns: [b.finish("main", [{ name: "g", value: g! }])] };
    expect(raiseAttention.run(module, {})).toBe(module);
  });
  test("when nothing is to be fused", () => {
    const module = build(route, plain, mix);
    expect(raiseAttention.run(module, { fused: false })).toBe(module);
  });
});
