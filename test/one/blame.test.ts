// A step that was not finite, run again to find who made the first bad value.
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import type { Bundle } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { type BadStep, findNonFinite, sentencesOf } from "../../src/trainer/blame.js";
import { Trainer } from "../../src/trainer/trainer.js";

const BATCH = 4;
const entries = ["accumulate", "update"];
const options = { preset: "tiny", batch: BATCH, set: ["accumulate=2"], entries };

let dawn: DawnDevice;
let bundle: Bundle;
let trainer: Trainer;
beforeAll(async () => {
  dawn = await requestDevice();
  ({ bundle } = await compile("models/mlp.graph.ts", options));
  trainer = await Trainer.create(bundle, dawn.device, { batch: BATCH, seed: 1 });
});
afterAll(() => {
  trainer?.dispose();
  dawn?.dispose();
});

const batchOf = (scale = 1) => ({
  x: Float32Array.from({ length: BATCH * 16 }, (_, i) => scale * Math.sin(i)),
  y: Int32Array.from({ length: BATCH }, (_, i) => i % 4),
});
const unfused = async () => (await compile("models/mlp.graph.ts", { ...options, fused: false })).bundle;

/** What is said of a step from a state that `change` has spoilt; the step itself must have been refused. */
async function blamed(
  change: (state: Map<string, Float32Array>) => void,
  inputs: BadStep["inputs"],
  parts: Partial<BadStep> = {},
) {
  const clean = await trainer.snapshot();
  try {
    const state = new Map([...clean].map(([name, data]) => [name, data.slice()]));
    change(state as Map<string, Float32Array>);
    await trainer.restore(state);
    await trainer.step(inputs);
    expect((await trainer.losses()).finite).toBe(false);
    expect(await trainer.snapshot()).toEqual(state);
    const step = { device: dawn.device, batch: BATCH, bundle, unfused, state, inputs, ...parts };
    return sentencesOf(await findNonFinite(step));
  } finally {
    await trainer.restore(clean);
  }
}
const nothing = () => {};

test("a weight that overflows: the product, its line, and what it read", async () => {
  const huge = (state: Map<string, Float32Array>) => {
    state.get("p.fc1.weight")!.fill(1e30);
    state.get("p.fc2.weight")!.fill(-1e30);
  };
  const ones = { ...batchOf(), x: new Float32Array(BATCH * 16).fill(1) };
  const found = await blamed(huge, [ones, ones]);
  expect(found).toEqual([
    'the first bad value: "dot @ models/mlp.graph.ts:12:19", gave -Infinity at element 0; 16 of 16 are not finite',
    "it read hidden (at most 1.6e+31), fc2.weight (at most 1e+30): all finite",
    "dispatch 2 of accumulate, compiled with one op a kernel",
  ]);
  // The fused program alone names the kernel that the product is a part of.
  const fused = await blamed(huge, [ones, ones], { unfused: undefined });
  expect(fused[0]).toContain("models/mlp.graph.ts:12:19");
  expect(fused[2]).toMatch(/^dispatch \d+ of accumulate$/);
});

test("the second batch of a step", async () => {
  const found = await blamed(nothing, [batchOf(), batchOf(3e38)]);
  expect(found[0]).toMatch(
    /^the first bad value: "dot @ models\/mlp.graph.ts:11:25", gave -?Infinity at element \d+; \d+ of 96 are/,
  );
  expect(found[1]).toMatch(/^it read x \(at most 3e\+38\), fc1.weight \(at most 0\.\d+\): all finite$/);
  expect(found[2]).toBe("dispatch 0 of accumulate, batch 1, compiled with one op a kernel");
});

test("gradients whose squares overflow: the norm, which no line of the model made", async () => {
  const steep = (state: Map<string, Float32Array>) => {
    state.get("p.fc2.weight")!.forEach((_, i, w) => {
      w[i] = 1e25 * Math.sin(i);
    });
  };
  const found = await blamed(steep, [batchOf(1e-3), batchOf(1e-3)]);
  expect(found).toEqual([
    expect.stringMatching(
      /^the first bad value: "sum_of_squares of 4 gradients", which is in the objective or the optimizer, gave Infinity at element \d+; \d+ of 128/,
    ),
    expect.stringMatching(/^it read pack 0 \(at most [\d.]+e\+2\d\): all finite$/),
    "dispatch 0 of update, compiled with one op a kernel",
  ]);
});

test("what was bad before the step is named first", async () => {
  const spoilt = (name: string, value: number) => (state: Map<string, Float32Array>) => {
    state.get(name)!.fill(value, 5, 8);
  };
  const good = [batchOf(), batchOf()];
  expect(await blamed(spoilt("p.fc1.weight", Number.NaN), good)).toEqual([
    'weight "fc1.weight" has NaN at element 5; 3 of 384 are not finite',
  ]);
  const odd = batchOf();
  odd.x[17] = Number.POSITIVE_INFINITY;
  expect(await blamed(nothing, [batchOf(), odd])).toEqual([
    'input "x" of batch 1 has Infinity at element 17; 1 of 64 are not finite',
  ]);
  const state = await trainer.snapshot();
  const found = await findNonFinite({ device: dawn.device, batch: BATCH, bundle, unfused, state, inputs: good });
  expect(sentencesOf(found)).toEqual(["run again, a kernel at a time, the step was finite"]);
});
