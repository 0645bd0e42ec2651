/**
 * `--check sampled`: every dispatch of a program is found right on this adapter, whatever the program does, and one whose kernel is wrong
 * is found and named. A checked run leaves what an unchecked one leaves, to the bit.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Check, check, refuseWrong, summary } from "../../src/check/index.js";
import { compile } from "../../src/compile/compile.js";
import { writeWeights } from "../../src/node/weights.js";
import { madeUpInputs } from "../../src/profiler/fill.js";
import type { Bundle } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { randomOf } from "../ir/samples.js";

const small = [
  ...["inputSize=8", "patchSize=2", "inChannels=2", "hiddenSize=24", "depth=2", "numHeads=2", "numClasses=5"],
  ...["sampler=ddim", "respacing=ddim4", "guidance=2", "guidedChannels=2", "warmupSteps=2"],
];
const batch = 3;

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn?.dispose());

/** Runs entries one after the other on made-up numbers, and gives what they leave. */
async function run(bundle: Bundle, entries: readonly string[], checking?: Check): Promise<Record<string, ArrayLike<number>>> {
  const session = await createSession(bundle, dawn.device, { batch, entries });
  try {
    const next = randomOf(1);
    await writeWeights(session, async (key) => {
      const { shape } = bundle.program.parameters.find(({ name }) => name === key)!;
      const count = shape.reduce((n, size) => n * size, 1);
      // As large as keeps the numbers of a layer their size: GELU and softmax then bend.
      return Float32Array.from({ length: count }, () => Math.sqrt(3 / (count / shape[0]!)) * (2 * next() - 1));
    });
    for (const name of entries) {
      const inputs = madeUpInputs(bundle.program.entries.find((entry) => entry.name === name)!, batch);
      if (checking) await checking.through(session, name, inputs);
      else await session.submit(name, inputs);
    }
    const outputs = bundle.program.entries
      .filter(({ name }) => entries.includes(name))
      .flatMap(({ name, outputs }) => outputs.map((port) => (port.kind === "output" ? `${name}.${port.name}` : port.name)));
    return (await session.read(outputs)) as Record<string, ArrayLike<number>>;
  } finally {
    session.dispose();
  }
}

describe.each([
  { entries: ["forward"], set: ["block=cross_attention"], dtype: "f16" as const },
  { entries: ["accumulate", "update"], set: ["accumulate=2", "clipNorm=1"] },
  { entries: ["sample"], set: [] },
])("$entries $set $dtype", ({ entries, set, dtype }) => {
  test("all of it is right", async () => {
    const options = { set: [...small, ...set], batch, entries, ...(dtype ? { dtype } : {}) };
    const { bundle } = await compile("models/dit.graph.ts", options);
    const checking = check(bundle);
    const found = await run(bundle, entries, checking);
    const checked = checking.checked();
    console.log(summary(checked));
    refuseWrong(checked);
    const dispatches = bundle.program.entries
      .filter(({ name }) => entries.includes(name))
      .flatMap(({ segments }) => segments.map((s) => s.repeat * s.dispatches.length))
      .reduce((a, b) => a + b, 0);
    expect(checked.dispatches).toBe(dispatches);
    expect(checked.outputs).toBeGreaterThan(20 * dispatches);
    expect(checked.zeros).toBeLessThan(checked.outputs / 4);
    expect(checked.worst!.share).toBeLessThanOrEqual(1);
    expect(await run(bundle, entries)).toEqual(found);
  });
});

test("a kernel that is wrong is found, with its place in the model", async () => {
  const { bundle } = await compile("models/dit.graph.ts", { set: small, batch, entries: ["forward"] });
  // GELU's constant, off by a hundredth: far more than rounding, far too little to see in the output.
  const spoiled = Object.entries(bundle.wgsl).filter(([, text]) => text.includes("0.044715"));
  expect(spoiled.length).toBeGreaterThan(0);
  const wgsl = { ...bundle.wgsl, ...Object.fromEntries(spoiled.map(([f, t]) => [f, t.replaceAll("0.044715", "0.04517")])) };
  const checking = check({ ...bundle, wgsl });
  await run({ ...bundle, wgsl }, ["forward"], checking);
  const { wrong } = checking.checked();
  // One a block, and nothing that comes after them: each kernel is judged by its own operands.
  expect(wrong.length).toBe(2);
  for (const { label, share, kernel } of wrong) {
    expect(label).toMatch(/models\/dit\.graph\.ts:\d+:\d+/);
    expect(share).toBeGreaterThan(1);
    expect(kernel).toMatch(/matmul/);
  }
  expect(() => refuseWrong(checking.checked())).toThrow(/DIT7021: 2 results of \d+ dispatches/);
});

test("a bundle without its kernels' graph cannot be checked", async () => {
  const { bundle } = await compile("models/dit.graph.ts", { set: small, batch, entries: ["forward"] });
  const { ir: _, ...without } = bundle;
  expect(() => check(without)).toThrow("DIT1306");
});
