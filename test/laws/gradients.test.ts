/**
 * The law of differentiate: on random modules the gradient of a scalar agrees with central differences of it. Elements at a kink, where
 * the slopes on the two sides differ, are left out; so are modules whose gradient is not the derivative by design.
 */
import { expect, test } from "vitest";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import { Builder } from "../../src/ir/builder.js";
import { evaluate } from "../../src/ir/eval.js";
import type { Fn, Module } from "../../src/ir/graph.js";
import { sum } from "../../src/ir/ops/shape.js";
import { printModule } from "../../src/ir/print.js";
import { verify } from "../../src/ir/verify.js";
import { dce } from "../../src/passes/dce.js";
import { differentiate } from "../../src/passes/differentiate.js";
import { type RandomCase, randomModule } from "./random-module.js";

const seed = Number(process.env.DIT_LAWS_SEED ?? Date.now() % 1_000_000_007);
const count = Math.ceil(Number(process.env.DIT_LAWS_COUNT ?? 200) / 2);

/** The sum of one f32 result as "loss", and its gradient in each f32 parameter that is read; undefined when there is nothing to take. */
function withGradient(c: RandomCase): Module | undefined {
  const fn = c.module.fns[0]!;
  const target = fn.results.findLast((r) => r.value.type.dtype === "f32" && r.value.type.axes.length > 0);
  if (!target) return undefined;
  const b = new Builder();
  b.params.push(...fn.params);
  b.nodes.push(...fn.nodes);
  const loss = sum(b, target.value, { over: target.value.type.axes });
  const read = dce.run({ stage: "graph", fns: [{ ...fn, nodes: b.nodes, results: [{ name: "loss", value: loss }] }] }, {})
    .fns[0] as Fn;
  const used = new Set(read.nodes.flatMap((node) => node.inputs));
  const wrt = fn.params.filter((p) => used.has(p.value) && p.value.type.dtype === "f32");
  if (wrt.length === 0 || read.nodes.some((node) => node.op === "stop_gradient")) return undefined;
  const grads = b.gradient(
    loss,
    wrt.map((p) => p.value),
  );
  const results = [{ name: "loss", value: loss }, ...wrt.map((p, i) => ({ name: `d ${p.name}`, value: grads[i]! }))];
  return { stage: "graph", fns: [b.finish("main", results)] };
}

/** Derivatives of the loss in `p`, undefined at kinks. */
function slopes(c: RandomCase, module: Module, p: string): (number | undefined)[] {
  const given = c.inputs.get(p)!;
  const h = 1e-6;
  const forward = dce.run({ ...module, fns: [{ ...module.fns[0]!, results: module.fns[0]!.results.slice(0, 1) }] }, {});
  const lossAt = (i: number, step: number): number => {
    const data = Float64Array.from(given.data);
    data[i] = data[i]! + step;
    const inputs = new Map([...c.inputs, [p, { shape: given.shape, data }] as const]);
    return evaluate(forward, "main", inputs, { batch: c.batch, precision: "f64" }).get("loss")!.data[0]!;
  };
  const here = lossAt(0, 0);
  return Array.from(given.data, (_, i) => {
    const [right, left] = [(lossAt(i, h) - here) / h, (here - lossAt(i, -h)) / h];
    return Math.abs(right - left) > 1e-3 * Math.max(1, Math.abs(right)) ? undefined : (right + left) / 2;
  });
}

test("gradients agree with central differences", () => {
  let compared = 0;
  for (let i = 0; i < count; i++) {
    const c = randomModule(seed + i);
    const module = withGradient(c);
    if (!module) continue;
    let after: Module;
    try {
      after = differentiate.run(module, {});
    } catch (error) {
      // Cuts along the batch have no gradient, and say so.
      if (error instanceof DitError && error.diagnostics[0]!.code === "DIT2003") continue;
      throw error;
    }
    verify(after, "graph", "after differentiate");
    const found = evaluate(after, "main", c.inputs, { batch: c.batch, precision: "f64" });
    for (const { name } of module.fns[0]!.results.slice(1)) {
      const gradient = found.get(name)!.data;
      const scale = gradient.reduce((m, g) => Math.max(m, Math.abs(g)), 1);
      slopes(c, module, name.slice(2)).forEach((slope, k) => {
        if (slope === undefined) return;
        compared++;
        const message = () =>
          `DIT_LAWS_SEED=${c.seed}: ${name}[${k}] is ${gradient[k]}, by differences ${slope}\n${printModule(dce.run(module, {}))}`;
        if (!(Math.abs(gradient[k]! - slope) <= 1e-3 * scale)) throw new Error(message());
      });
    }
  }
  expect(compared).toBeGreaterThan(count);
});
