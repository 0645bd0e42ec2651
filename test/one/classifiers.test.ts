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
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { trainingInputs, typed } from "../gpu/training-inputs.js";
import { strays } from "../strays.js";

const batch = 6;
let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

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
    const state = trainingInputs(module, batch);
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
