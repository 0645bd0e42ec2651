/** The second model, a classifier: its loss, gradients and training steps on the GPU against the f64 reference of the traced graph. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { type DenseInput, evaluate } from "../../src/ir/eval.js";
import type { Module } from "../../src/ir/graph.js";
import { differentiate } from "../../src/passes/differentiate.js";
import { evaluate as sizeAt } from "../../src/program/size.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";

const batch = 6;
let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

/** Numbers in [-1, 1), exact in f32, the same every time. */
function numbers(count: number, seed: number): Float64Array {
  let state = seed;
  return Float64Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround(state / 2 ** 31 - 1);
  });
}

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

/** Largest difference over the largest magnitude. */
function normalised(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  const want = Array.from(expected);
  return Math.max(...want.map((e, i) => Math.abs(e - got[i]!))) / Math.max(...want.map(Math.abs), 1e-3);
}

test("loss and gradients are the reference's", async () => {
  const { bundle, graph } = await compile("models/mlp.graph.ts", { preset: "tiny", batch, entries: ["loss_and_grad"] });
  const inputs = inputsOf(graph, "loss_and_grad");
  const expected = evaluate(differentiate.run(graph, {}), "loss_and_grad", inputs, { batch, precision: "f64" });
  const session = await createSession(bundle, dawn.device, { batch });
  for (const p of bundle.program.parameters) await session.write(p.name, typed(p.name, inputs.get(p.name)!.data));
  const out = await session.run("loss_and_grad", {
    x: typed("x", inputs.get("x")!.data) as Float32Array,
    y: typed("y", inputs.get("y")!.data) as Int32Array,
  });
  expect(Object.keys(out).sort()).toEqual([...expected.keys()].sort());
  // Sums of at most 24 products, a softmax and its adjoint: a few dozen roundings of 2⁻²⁴.
  for (const [name, { data }] of expected) expect(normalised(out[name] as Float32Array, data), name).toBeLessThan(64 * 2 ** -24);
  session.dispose();
});

test("three training steps follow the reference, and the loss falls", async () => {
  const { bundle, graph } = await compile("models/mlp.graph.ts", { preset: "tiny", batch, entries: ["train_step"] });
  const module = differentiate.run(graph, {});
  const state = inputsOf(module, "train_step");
  const session = await createSession(bundle, dawn.device, { batch });
  for (const [name, { data }] of state) if (name !== "x" && name !== "y") await session.write(name, typed(name, data));
  const losses: number[] = [];
  for (let step = 0; step < 3; step++) {
    const expected = evaluate(module, "train_step", state, { batch, precision: "f64" });
    for (const [name, dense] of expected) if (state.has(name)) state.set(name, dense);
    const out = await session.run("train_step", {
      x: typed("x", state.get("x")!.data) as Float32Array,
      y: typed("y", state.get("y")!.data) as Int32Array,
    });
    const loss = (out.loss as Float32Array)[0]!;
    expect(normalised([loss], expected.get("loss")!.data)).toBeLessThan(64 * 2 ** -24);
    expect((out.step as Int32Array)[0]).toBe(step + 1);
    losses.push(loss);
  }
  expect(losses[2]).toBeLessThan(losses[0]!);
  session.dispose();
});
