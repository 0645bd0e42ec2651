/** Any DiT compiles: a sample of settings through all entries to a valid program; and what cannot be is refused in words. */
import { describe, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { pack } from "../../src/program/pack.js";
import { validate, validateLayout } from "../../src/program/validate.js";
import { asSettings, ditConfigs } from "../dit-configs.js";

const file = "models/dit.graph.ts";

test.each(ditConfigs())("%j", async (config) => {
  const { bundle, report } = await compile(file, { preset: "tiny", set: asSettings(config), batch: 3 });
  const { program, wgsl, constants } = bundle;
  expect(validate(JSON.parse(JSON.stringify(program)), wgsl, constants.length)).toEqual([]);
  expect(validateLayout(program, pack(program, 3), 3)).toEqual([]);
  expect(program.entries.map(({ name }) => name)).toEqual(["forward", "loss_and_grad", "train_step", "sample_step", "sample"]);
  for (const { name, inputs } of program.entries) {
    const given = inputs.map((p) => p.name);
    expect(given.includes("y"), `${name} takes ${given.join(", ")}`).toBe(config.numClasses > 0);
  }
  // The paper's count and that of the graph differ by norms alone, but for the six channels it counts of eight.
  const tokens = (config.inputSize / config.patchSize) ** 2;
  const told = config.block === "in_context" ? (config.numClasses > 0 ? 2 : 1) : 0;
  const norms = (tokens + told) * config.hiddenSize * (2 * config.depth + 1);
  const channels = config.inChannels * (config.learnSigma ? 2 : 1);
  const uncounted = channels === 8 ? 2 * config.inputSize ** 2 * config.hiddenSize : 0;
  expect(report.gflops! * 1e9 - norms + uncounted).toBeCloseTo(report.gmacs! * 1e9, 3);
});

describe("refused", () => {
  const refused = (...set: string[]) => expect(compile(file, { preset: "tiny", set, entries: ["forward"] })).rejects;

  test("guidance of a model without classes", async () => {
    await refused("numClasses=0").toThrow(
      /DIT1104.*guidance is 4, but a model without classes \(numClasses=0\) has nothing to be guided by: set guidance=1/,
    );
  });
  test("guidance where every sample has its class, and noise where the sampler has none", async () => {
    await refused("classDropoutProb=0").toThrow(/DIT1104.*guidance is 4, .*has no null class to be guided by: set guidance=1/);
    await refused("eta=0.5", "sampler=ddpm").toThrow(/DIT1104.*eta is 0.5, but only the sampler ddim has it, .* is ddpm/);
  });
  test("a number of classes that is none, a side that the patch does not divide, a design that is not there", async () => {
    await refused("numClasses=-1").toThrow(/numClasses is -1, expected a whole number from 0/);
    await refused("inputSize=9").toThrow(/patchSize 2 does not divide inputSize 9/);
    await refused("block=adaln_one").toThrow(/block is one of adaln_zero, adaln, cross_attention, in_context/);
  });
});
