/** The golden checkpoints: what they hold, in every layout, and there and back. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { diffusersConfig, hintsOfDiffusers, toDiffusers } from "../../src/checkpoints/diffusers.js";
import { type Checkpoint, openCheckpoint } from "../../src/checkpoints/open.js";
import { optimizerState } from "../../src/checkpoints/optimizer.js";
import { ditWeights, withHeads } from "../../src/checkpoints/weights.js";
import type { StoredTensor } from "../../src/formats/safetensors.js";
import { bytesSource } from "../../src/formats/source.js";
import { golden } from "../golden.js";

const open = (name: string): Promise<Checkpoint> =>
  openCheckpoint(bytesSource(readFileSync(new URL(`../golden/${name}`, import.meta.url)), name));

type Views = ReadonlyMap<string, { read(): Promise<StoredTensor["data"]> }>;
const sum = (data: Iterable<number>) => [...data].reduce((a, b) => a + b, 0);
async function numbers(views: Views): Promise<Record<string, Float32Array>> {
  const all: Record<string, Float32Array> = {};
  for (const [name, view] of views) all[name] = (await view.read()) as Float32Array;
  return all;
}

const expected = golden("tiny-expected");
const { checks } = expected.cases.tensors as unknown as { checks: Record<string, [number, number]> };
const optimizer = expected.cases.optimizer as unknown as {
  parameter_order: string[];
  step: number;
  checks: Record<string, { exp_avg_sum: number; exp_avg_sq_sum: number }>;
};
/** Sums of f32 numbers in f64: only the order of the additions may differ. */
const near = (got: number, want: number, size: number) => Math.abs(got - want) <= 1e-12 * size + 1e-300;

test("the average of the training checkpoint has the expected numbers, in the official order", async () => {
  const { tensors, config, named, part } = ditWeights(await open("tiny-trainer.pt"), "ema");
  expect(part).toBe("ema");
  expect([...tensors.keys()]).toEqual(optimizer.parameter_order);
  for (const [name, data] of Object.entries(await numbers(tensors))) {
    const [plain, absolute] = checks[name]!;
    expect(near(sum(data), plain, absolute), name).toBe(true);
    expect(near(sum(data.map(Math.abs)), absolute, absolute), name).toBe(true);
  }
  const { input_size, hidden_size, depth, num_classes, learn_sigma } = expected.config.config as Record<string, unknown>;
  expect(config).toMatchObject({ inputSize: input_size, hiddenSize: hidden_size, depth, numClasses: num_classes });
  expect(config).toMatchObject({ learnSigma: learn_sigma, block: "adaln_zero", mlpRatio: 4, classDropoutProb: 0.1 });
  // 32 wide in two blocks is no preset, and no shape tells the number of heads.
  expect([named.preset, config.numHeads]).toEqual([undefined, undefined]);
});

test("the bare file has the same tensors; the model is another one", async () => {
  const [bare, trainer] = [await open("tiny-bare.pt"), await open("tiny-trainer.pt")];
  const ema = await numbers(ditWeights(trainer, "ema").tensors);
  expect(await numbers(ditWeights(bare, "ema").tensors)).toEqual(ema);
  const model = await numbers(ditWeights(trainer, "model").tensors);
  expect(Object.keys(model)).toEqual(Object.keys(ema));
  expect(model["blocks.0.attn.qkv.weight"]).not.toEqual(ema["blocks.0.attn.qkv.weight"]);
});

test("the optimizer's state has its moments by name, its steps and its settings", async () => {
  const state = (await optimizerState(await open("tiny-trainer.pt")))!;
  expect(state.steps).toBe(optimizer.step);
  expect([...state.moments.keys()]).toEqual(optimizer.parameter_order.slice(1));
  expect(state.settings).toEqual({ learningRate: 1e-4, epsilon: 1e-8, weightDecay: 0, beta1: 0.9, beta2: 0.999 });
  for (const [name, { m, v }] of state.moments) {
    const [first, second] = [(await m.read()) as Float32Array, (await v.read()) as Float32Array];
    const { exp_avg_sum, exp_avg_sq_sum } = optimizer.checks[name]!;
    expect(near(sum(first), exp_avg_sum, sum(first.map(Math.abs))), name).toBe(true);
    expect(near(sum(second), exp_avg_sq_sum, sum(second)), name).toBe(true);
  }
});

test("diffusers' layout comes in as the official one, and goes out as it came", async () => {
  const diffusers = await open("tiny-diffusers.safetensors");
  expect(() => ditWeights(diffusers, "ema")).toThrow(/DIT4077.*side/);
  const ema = await numbers(ditWeights(await open("tiny-bare.pt"), "ema").tensors);
  const read = ditWeights(diffusers, "ema", { inputSize: 8 });
  const { pos_embed: table, ...others } = await numbers(read.tensors);
  const { pos_embed: stored, ...same } = ema;
  expect(others).toEqual(same);
  // The stored table is an average of itself, which rounds.
  for (const [i, x] of table!.entries()) expect(Math.abs(x - stored![i]!)).toBeLessThan(1e-6);

  const out = toDiffusers("x", ditWeights(await open("tiny-bare.pt"), "ema").tensors, read.config);
  const [got, want] = [await numbers(out), await numbers(diffusers.parts.get("weights")!)];
  expect(Object.keys(got).toSorted()).toEqual(Object.keys(want).toSorted());
  expect(got).toEqual(want);
  for (const [name, { shape }] of out) expect(shape, name).toEqual(diffusers.parts.get("weights")!.get(name)!.shape);
  const config = withHeads(ditWeights(diffusers, "ema", { inputSize: 8, numHeads: 2 }));
  expect(hintsOfDiffusers(diffusersConfig(config))).toEqual({ numHeads: 2, inputSize: 8, numClasses: 5 });
});

test("blocks whose embedders were trained apart are no official model, and that is said", async () => {
  const diffusers = await open("tiny-diffusers.safetensors");
  const name = "transformer_blocks.1.norm1.emb.timestep_embedder.linear_2.bias";
  const views = new Map(diffusers.parts.get("weights"));
  const view = views.get(name)!;
  const { dtype, shape } = view;
  views.set(name, { dtype, shape, read: async () => ((await view.read()) as Float32Array).map((x) => x + 1) });
  const changed = ditWeights({ ...diffusers, parts: new Map([["weights", views]]) }, "ema", { inputSize: 8 });
  await expect(changed.tensors.get("t_embedder.mlp.2.bias")!.read()).rejects.toThrow(/DIT4076.*blocks\.1.*others/);
});

test("what does not fit is one error: tensor, expected, found", async () => {
  const bare = await open("tiny-bare.pt");
  const views = new Map(bare.parts.get("weights"));
  views.set("blocks.1.attn.proj.weight", views.get("blocks.1.attn.qkv.weight")!);
  views.delete("blocks.0.mlp.fc2.bias");
  views.set("odd", views.get("pos_embed")!);
  expect(() => ditWeights({ ...bare, parts: new Map([["weights", views]]) }, "ema")).toThrowError(
    expect.objectContaining({
      message: [
        "error DIT4206: tiny-bare.pt does not hold the weights of a DiT with patchSize=2 inChannels=4 hiddenSize=32 depth=2 mlpRatio=4 learnSigma=true block=adaln_zero numClasses=5 classDropoutProb=0.1 inputSize=8: 1 missing, 1 of another shape or type, 1 not in the model",
        "  note: missing: blocks.0.mlp.fc2.bias, expected f32 [32]",
        "  note: blocks.1.attn.proj.weight: expected f32 [32, 32], found F32 [96, 32]",
        "  note: not in the model: odd",
        "  help: give the preset and settings that the weights were trained with",
      ].join("\n"),
    }),
  );
});
