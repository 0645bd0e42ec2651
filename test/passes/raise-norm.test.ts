/** raise-norm on the product of spellings of layer norm and modulation, and on near misses, which stay the very same module. */
import { describe, expect, test } from "vitest";
import { Builder } from "../../src/ir/builder.js";
import { evaluate } from "../../src/ir/eval.js";
import type { Module, Value } from "../../src/ir/graph.js";
import { add, div, mul, reciprocal, rsqrt, sqrt, square, sub } from "../../src/ir/ops/elementwise.js";
import { fill } from "../../src/ir/ops/pointwise.js";
import { expandTo, sum } from "../../src/ir/ops/shape.js";
import { tensorType } from "../../src/ir/types.js";
import { raiseNorm } from "../../src/passes/raise-norm.js";
import { B } from "../../src/program/size.js";

const N = 12;
const type = tensorType("f32", ["batch", "token", "c"], [B, 3, N]);
const small = tensorType("f32", ["batch", "c"], [B, N]);

interface Spelling {
  readonly mean: (b: Builder, x: Value) => Value;
  readonly variance: (b: Builder, x: Value, centred: Value, mean: (x: Value) => Value) => Value;
  readonly unit: (b: Builder, centred: Value, spread: Value) => Value;
  readonly modulate: (b: Builder, x: Value, shift: Value, scale: Value) => Value;
}

const number = (b: Builder, value: number, like: Value): Value => fill(b, { value, type: like.type });
const over = { over: ["c"] };

const means: Record<string, Spelling["mean"]> = {
  "sum · 1/n": (b, x) => {
    const s = sum(b, x, over);
    return mul(b, s, number(b, 1 / N, s));
  },
  "1/n · sum": (b, x) => {
    const s = sum(b, x, over);
    return mul(b, number(b, 1 / N, s), s);
  },
  "sum / n": (b, x) => {
    const s = sum(b, x, over);
    return div(b, s, number(b, N, s));
  },
};
const variances: Record<string, Spelling["variance"]> = {
  "mean of square": (b, _x, c, mean) => mean(square(b, c)),
  "mean of c · c": (b, _x, c, mean) => mean(mul(b, c, c)),
  "E[x²] − E[x]²": (b, x, _c, mean) => sub(b, mean(square(b, x)), square(b, mean(x))),
};
const units: Record<string, Spelling["unit"]> = {
  "c · rsqrt": (b, c, v) => mul(b, c, expandTo(b, rsqrt(b, v), c.type)),
  "rsqrt · c": (b, c, v) => mul(b, expandTo(b, rsqrt(b, v), c.type), c),
  "c / sqrt": (b, c, v) => div(b, c, expandTo(b, sqrt(b, v), c.type)),
  "c · (1 / sqrt)": (b, c, v) => mul(b, c, expandTo(b, reciprocal(b, sqrt(b, v)), c.type)),
  "rsqrt after repetition": (b, c, v) => mul(b, c, rsqrt(b, expandTo(b, v, c.type))),
};
const modulations: Record<string, Spelling["modulate"]> = {
  none: (_b, x) => x,
  "x · s + t": (b, x, t, s) => add(b, mul(b, x, expandTo(b, s, x.type)), expandTo(b, t, x.type)),
  "x · (s + 1) + t": (b, x, t, s) => add(b, mul(b, x, expandTo(b, add(b, s, number(b, 1, s)), x.type)), expandTo(b, t, x.type)),
  "x · s + x + t": (b, x, t, s) => add(b, add(b, mul(b, x, expandTo(b, s, x.type)), x), expandTo(b, t, x.type)),
};

function build(
  { mean, variance, unit, modulate }: Spelling,
  spoil?: (b: Builder, values: Record<string, Value>) => Value,
): Module {
  const b = new Builder();
  const [x, shift, scale] = [b.param("x", "input", type), b.param("shift", "input", small), b.param("scale", "input", small)];
  const meanOf = (v: Value) => mean(b, v);
  const centred = sub(b, x, expandTo(b, meanOf(x), type));
  const v = variance(b, x, centred, meanOf);
  const y = modulate(b, unit(b, centred, add(b, v, number(b, 1e-3, v))), shift, scale);
  const extra = spoil ? [{ name: "extra", value: spoil(b, { x, centred, v }) }] : [];
  return { stage: "graph", fns: [b.finish("main", [{ name: "y", value: y }, ...extra])] };
}

const values = new Map(
  [
    ["x", [2, 3, N]],
    ["shift", [2, N]],
    ["scale", [2, N]],
  ].map(([name, shape], k) => {
    const length = (shape as number[]).reduce((a, n) => a * n, 1);
    return [
      name as string,
      { shape: shape as number[], data: Float64Array.from({ length }, (_, i) => Math.sin(3 * i + k) * 2 + k) },
    ];
  }),
);
const run = (m: Module) => evaluate(m, "main", values, { batch: 2, precision: "f64" }).get("y")!.data;

const product = Object.entries(means).flatMap(([a, mean]) =>
  Object.entries(variances).flatMap(([b, variance]) =>
    Object.entries(units).flatMap(([c, unit]) =>
      Object.entries(modulations).map(([d, modulate]) => [`${a}, ${b}, ${c}, ${d}`, { mean, variance, unit, modulate }] as const),
    ),
  ),
);

describe(`${product.length} spellings`, () => {
  test.each(product)("%s", (_name, spelling) => {
    const before = build(spelling);
    const after = raiseNorm.run(before, {});
    expect(after.fns[0]!.nodes.filter((n) => n.op === "normalize").length).toBe(1);
    const [expected, got] = [run(before), run(after)];
    got.forEach((v, i) => {
      expect(Math.abs(v - expected[i]!)).toBeLessThan(1e-9);
    });
  });
});

describe("left alone", () => {
  const plain: Spelling = {
    mean: means["sum · 1/n"]!,
    variance: variances["mean of square"]!,
    unit: units["c · rsqrt"]!,
    modulate: modulations.none!,
  };
  const overToken = (b: Builder, x: Value) => {
    const s = sum(b, x, { over: ["token"] });
    return mul(b, s, number(b, 1 / 3, s));
  };
  const misses: Record<string, Module> = {
    "a second reader of what is centred": build(plain, (_b, { centred }) => centred!),
    "a second reader of the variance": build(plain, (_b, { v }) => v!),
    "unbiased variance": build({
      ...plain,
      variance: (b, _x, c) => {
        const s = sum(b, square(b, c), over);
        return mul(b, s, number(b, 1 / (N - 1), s));
      },
    }),
    "a mean of half the count": build({
      ...plain,
      mean: (b, x) => {
        const s = sum(b, x, over);
        return mul(b, s, number(b, 2 / N, s));
      },
    }),
    "variance over another axis": build({
      ...plain,
      variance: (b, _x, c) => overToken(b, square(b, c)),
      unit: (b, c, v) => mul(b, c, expandTo(b, rsqrt(b, v), c.type)),
    }),
    "the variance of something else": build({ ...plain, variance: (b, x, _c, mean) => mean(square(b, x)) }),
    "no root": build({ ...plain, unit: (b, c, v) => mul(b, c, expandTo(b, v, c.type)) }),
    "the root of what is centred": build({ ...plain, unit: (b, c, v) => div(b, expandTo(b, sqrt(b, v), c.type), c) }),
  };
  const rms = () => {
    const b = new Builder();
    const x = b.param("x", "input", type);
    const v = means["sum · 1/n"]!(b, square(b, x));
    return build2(b, mul(b, x, expandTo(b, rsqrt(b, add(b, v, number(b, 1e-3, v))), type)));
  };
  const build2 = (b: Builder, y: Value): Module => ({ stage: "graph", fns: [b.finish("main", [{ name: "y", value: y }])] });
  test.each(Object.entries({ ...misses, "a root mean square": rms() }))("%s", (_name, module) => {
    expect(raiseNorm.run(module, {})).toBe(module);
  });
  test("when nothing is to be fused", () => {
    const module = build(plain);
    expect(raiseNorm.run(module, { fused: false })).toBe(module);
  });
});
