/**
 * The classifiers, a plain one and a Vision Transformer, train: steps on the GPU against the f64 reference of the traced graph, in which
 * nothing is raised or fused. Their gradients one by one are compared in fused.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { type DenseInput, evaluate } from "../../src/ir/eval.js";
import type { Module } from "../../src/ir/graph.js";
import { dce } from "../../src/passes/dce.js";
import { differentiate } from "../../src/passes/differentiate.js";
import { evaluate as sizeAt } from "../../src/program/size.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { numbers } from "../gpu/numbers.js";
import { strays } from "../strays.js";

const batch = 6;
let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

/** All parameters of a function: images, labels below 4, weights, and zeros for moments and the step counter. */
function inputsOf(module: Module, entry: string): Map<string, DenseInput> {
  const fn = module.fns.find((f) => f.name === entry)!;
  return new Map(
    fn.params.map((p, i): [string, DenseInput] => {
      const shape = p.value.type.shape.map((s) => sizeAt(s, batch));
      const count = shape.reduce((a, n) => a * n, 1);
      if (p.name === "y") return [p.name, { shape, data: Float64Array.from({ length: count }, (_, k) => k % 4) }];
      const zero = p.name === "step" || /^[mv]\./.test(p.name);
      return [p.name, { shape, data: zero ? new Float64Array(count) : numbers(count, 100 + i) }];
    }),
  );
}

const typed = (name: string, data: ArrayLike<number>) =>
  name === "y" || name === "step" ? Int32Array.from(data) : Float32Array.from(data);
/** The entry's loss alone, without the work of the rest. */
const lossOf = (module: Module): Module =>
  dce.run({ ...module, fns: module.fns.map((fn) => ({ ...fn, results: fn.results.filter((r) => r.name === "loss") })) }, {});
const given = (inputs: ReadonlyMap<string, DenseInput>) => ({
  x: typed("x", inputs.get("x")!.data) as Float32Array,
  y: typed("y", inputs.get("y")!.data) as Int32Array,
});

describe.each(["mlp", "vit"])("models/%s.graph.ts", (name) => {
  const program = (entry: string) => compile(`models/${name}.graph.ts`, { preset: "tiny", batch, entries: [entry] });

  test("three training steps follow the reference, and the loss falls", async () => {
    const { bundle, graph } = await program("train_step");
    const module = differentiate.run(graph, {});
    const state = inputsOf(module, "train_step");
    const session = await createSession(bundle, dawn.device, { batch });
    for (const [key, { data }] of state) if (key !== "x" && key !== "y") await session.write(key, typed(key, data));
    const losses: number[] = [];
    for (let step = 0; step < 3; step++) {
      const { exact, bound } = strays(lossOf(module), "train_step", state, batch).get("loss")!;
      const next = evaluate(module, "train_step", state, { batch, precision: "f64" });
      for (const [key, dense] of next) if (state.has(key)) state.set(key, dense);
      const out = await session.run("train_step", given(state));
      losses.push((out.loss as Float32Array)[0]!);
      // The steps before have rounded too: each as much as this one.
      expect(Math.abs(losses[step]! - exact.data[0]!), `step ${step}`).toBeLessThanOrEqual((step + 1) * bound);
      expect((out.step as Int32Array)[0]).toBe(step + 1);
    }
    expect(losses[2]).toBeLessThan(losses[0]!);
    session.dispose();
  });
});
