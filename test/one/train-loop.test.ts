/** The host's training loop and its files, from images to weights that sample. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { inMemory } from "../../src/data/source.js";
import type { Bundle } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { train } from "../../src/trainer/loop.js";
import type { LossRecord } from "../../src/trainer/record.js";
import { RunFolder } from "../../src/trainer/run-folder.js";
import { sample } from "../../src/trainer/sampler.js";
import { resolveConfig } from "../../src/trainer/train-config.js";
import { readWeights } from "../../src/trainer/weights.js";

const settings = [
  ...["inputSize=4", "patchSize=2", "inChannels=1", "hiddenSize=16", "depth=1", "numHeads=2", "mlpRatio=2", "numClasses=3"],
  ...["learnSigma=false", "learningRate=5e-3", "clipNorm=1", "respacing=4", "guidance=2", "guidedChannels=1"],
];
const images = inMemory({
  images: Uint8Array.from({ length: 30 * 16 }, (_, i) => (Math.floor(i / 16) % 3 === Math.floor((i % 16) / 6) ? 230 : 20)),
  labels: Uint8Array.from({ length: 30 }, (_, i) => i % 3),
  count: 30,
  channels: 1,
  height: 4,
  width: 4,
  classes: ["a", "b", "c"],
});

let dawn: DawnDevice;
let bundle: Bundle;
let folder: string;
beforeAll(async () => {
  dawn = await requestDevice();
  ({ bundle } = await compile("models/dit.graph.ts", { set: settings, entries: ["train_step", "sample"] }));
  folder = mkdtempSync(join(tmpdir(), "dit-train-"));
});
afterAll(() => {
  dawn?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

type Kept = Record<"weights" | "ema", Map<string, Float32Array>>;

/** A run, with what it ends with in memory. */
async function run({ onEnd, ...more }: Partial<Parameters<typeof train>[0]> = {}) {
  let kept: Kept | undefined;
  const result = await train({
    ...{ bundle, device: dawn.device, images, steps: 25, batch: 8, seed: 1, ...more },
    onEnd: async (trainer, steps) => {
      kept = { weights: await trainer.weights("p"), ema: await trainer.weights("ema") };
      await onEnd?.(trainer, steps);
    },
  });
  return { ...result, ...kept! };
}

test("a run leaves its losses and its weights in files, and they are the same the second time", async () => {
  const steps: number[] = [];
  const out = new RunFolder(join(folder, "run"));
  const config = resolveConfig({ model: "models/dit.graph.ts", data: "none", steps: 25, batch: 8, seed: 1 });
  const first = await run({
    onBegin: (done) => out.begin(config, undefined, done),
    onLoss: (record) => out.record(record),
    onStep: (done) => steps.push(done),
    onEnd: (trainer, done) => out.weights(trainer, config, done),
  });
  expect(steps).toEqual(Array.from({ length: 25 }, (_, i) => i + 1));
  const lines = readFileSync(out.at("loss.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as LossRecord);
  expect(lines.map(({ step }) => step)).toEqual([1, 10, 20, 25]);
  expect(lines.map(({ loss }) => loss)).toEqual(first.losses.map(({ loss }) => loss));
  expect(lines.every(({ imagesPerSecond, seconds, memory }) => imagesPerSecond > 0 && seconds > 0 && memory > 0)).toBe(true);
  expect(lines.every(({ skipped }) => skipped === 0)).toBe(true);

  const ema = await readWeights(out.at("weights.safetensors"), bundle.program);
  expect(ema).toEqual(first.ema);
  expect(await readWeights(out.at("weights-raw.safetensors"), bundle.program)).toEqual(first.weights);
  expect(ema).not.toEqual(first.weights);

  const second = await run();
  expect(second.weights).toEqual(first.weights);
  const draw = (weights: Map<string, Float32Array>) =>
    sample({ bundle, device: dawn.device, weights, labels: [0, 1, 2], seed: 0 });
  const drawn = await draw(ema);
  expect(drawn.images).toEqual((await draw(second.ema)).images);

  // Looks on the way change nothing; what they see is noisier.
  const looks: Float32Array[] = [];
  const seen = await sample({
    bundle,
    device: dawn.device,
    weights: ema,
    labels: [0, 1, 2],
    seed: 0,
    preview: { every: 1, show: async ({ images }) => void looks.push(images.slice()) },
  });
  expect(seen.images).toEqual(drawn.images);
  expect(looks.length).toBeGreaterThan(0);
  expect(looks[0]).not.toEqual(drawn.images);
});

test("reading losses more often changes nothing, and a run can be stopped", async () => {
  const rare = await run({ steps: 6 });
  const often = await run({ steps: 25, logEvery: 1, stop: (done) => done === 6 });
  expect(often.steps).toBe(6);
  expect(often.losses.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(often.ema).toEqual(rare.ema);
});

test("losses that stay infinite end the run and say what to do", async () => {
  const broken = new Map((await run({ steps: 1 })).weights);
  const bias = broken.get("final_layer.linear.bias")!;
  broken.set("final_layer.linear.bias", new Float32Array(bias.length).fill(1e30));
  const seen: (number | null)[] = [];
  const error = run({ weights: broken, onLoss: ({ loss }) => seen.push(loss) });
  await expect(error).rejects.toThrow(
    /DIT4213: training diverged.*\n.*\n.*no loss was ever finite[\s\S]*lower the learning rate/,
  );
  expect(seen).toEqual([null, null, null, null, null]);
});

test("what does not fit is refused before anything is trained", async () => {
  await expect(run({ images: { ...images, width: 2, height: 8, channels: 2, count: 15 } })).rejects.toThrow(
    /DIT4211: the images are 2 x 8 x 2, the model takes 1 x 4 x 4/,
  );
  await expect(run({ steps: 0 })).rejects.toThrow("DIT4212: steps is 0");
  await expect(run({ seed: -1 })).rejects.toThrow("DIT4212: seed is -1");
  const labels = { bundle, device: dawn.device, weights: new Map(), seed: 0 };
  await expect(sample({ ...labels, labels: [3] })).rejects.toThrow(/DIT4221: class 3 does not exist[\s\S]*0 to 2/);
  await expect(sample({ ...labels, labels: [] })).rejects.toThrow("DIT4221");
  await expect(sample({ ...labels, labels: [0] })).rejects.toThrow("DIT4205");
  const deaf: Bundle = { ...bundle, program: { ...bundle.program, entries: [] } };
  await expect(run({ bundle: deaf })).rejects.toThrow("DIT4210");
  await expect(sample({ ...labels, bundle: deaf, labels: [0] })).rejects.toThrow("DIT4220");
  writeFileSync(join(folder, "bad.safetensors"), "");
  await expect(readWeights(join(folder, "bad.safetensors"), bundle.program)).rejects.toThrow("DIT4010");
});
