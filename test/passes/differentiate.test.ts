/** What a rule leaves out because nobody asks for it changes no other gradient. */
import { expect, test } from "vitest";
import { Builder } from "../../src/ir/builder.js";
import { evaluate } from "../../src/ir/eval.js";
import type { Module } from "../../src/ir/graph.js";
import { attention } from "../../src/ir/ops/attention.js";
import { square } from "../../src/ir/ops/elementwise.js";
import { sum } from "../../src/ir/ops/shape.js";
import { tensorType } from "../../src/ir/types.js";
import { differentiate } from "../../src/passes/differentiate.js";
import { numbers } from "../gpu/numbers.js";

/** Gradients of a loss behind attention by those of its operands. */
function gradients(by: readonly ("q" | "k" | "v")[], value: readonly string[]): Module {
  const b = new Builder();
  const param = (name: string, axes: readonly string[], shape: number[]) =>
    b.param(name, "input", tensorType("f32", axes, shape));
  const operands = {
    q: param("q", ["token", "w"], [5, 4]),
    k: param("k", ["key", "w"], [7, 4]),
    v: param("v", ["key", ...value], value.length > 0 ? [7, 3] : [7]),
  };
  const o = attention(b, operands.q, operands.k, operands.v, { over: ["w"], key: ["key"], scale: 0.5 });
  const loss = sum(b, square(b, o), { over: o.type.axes });
  const found = b.gradient(
    loss,
    by.map((name) => operands[name]),
  );
  const results = by.map((name, i) => ({ name, value: found[i]! }));
  return differentiate.run({ stage: "graph", fns: [b.finish("main", results)] }, {});
}

test.each([[["value"]], [[]]])("attention by k and v alone, values with axes %j of their own", (value) => {
  const of = (by: readonly ("q" | "k" | "v")[]) => {
    const module = gradients(by, value);
    const inputs = new Map(
      module.fns[0]!.params.map((p, i) => {
        const shape = p.value.type.shape as number[];
        const count = shape.reduce((a, n) => a * n, 1);
        return [p.name, { shape, data: Float64Array.from(numbers(count, i + 1)) }] as const;
      }),
    );
    return { module, results: evaluate(module, "main", inputs, { batch: 1, precision: "f64" }) };
  };
  const [all, some] = [of(["q", "k", "v"]), of(["k", "v"])];
  expect(some.module.fns[0]!.nodes.map((n) => n.op)).not.toContain("attention_grad_q");
  for (const name of ["k", "v"]) {
    const [a, b] = [all, some].map(({ results }) => [...results.get(name)!.data]) as [number[], number[]];
    expect(a.some((x) => Math.abs(x) > 1e-3)).toBe(true);
    a.forEach((x, i) => {
      expect(b[i]).toBeCloseTo(x, 12);
    });
  }
});
