/**
 * Golden checkpoints, imported by the command and run on this adapter: the outputs are PyTorch's, whichever file the weights came from,
 * and a training goes on with PyTorch's moments. Tolerances are the manifest's.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoints/open.js";
import { optimizerState } from "../../src/checkpoints/optimizer.js";
import { ditWeights } from "../../src/checkpoints/weights.js";
import { compile } from "../../src/compile/compile.js";
import { withSource } from "../../src/formats/files.js";
import { runEntry } from "../../src/node/index.js";
import type { Bundle } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { factsOf } from "../../src/trainer/checkpoint.js";
import { resume } from "../../src/trainer/resume.js";
import { readConfig, settingsOf } from "../../src/trainer/train-config.js";
import { Trainer } from "../../src/trainer/trainer.js";
import { dit } from "../cli/capture.js";
import { golden } from "../golden.js";

const expected = golden("tiny-expected");
const config = ["inputSize=8", "patchSize=2", "hiddenSize=32", "depth=2", "numHeads=2", "numClasses=5"];
const file = (name: string) => `test/golden/${name}`;

let dawn: DawnDevice;
let bundle: Bundle;
let folder: string;
beforeAll(async () => {
  dawn = await requestDevice();
  ({ bundle } = await compile("models/dit.graph.ts", { set: config, entries: ["forward"] }));
  folder = mkdtempSync(join(tmpdir(), "dit-import-"));
});
afterAll(() => {
  dawn?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

async function imported(...args: readonly string[]): Promise<void> {
  const { code, err } = await dit("import", ...args);
  expect(code, err).toBe(0);
}

test.each([
  ["ema", "tiny-bare.pt", []],
  ["ema", "tiny-trainer.pt", []],
  ["model", "tiny-trainer.pt", ["--which", "model"]],
  ["ema", "tiny-diffusers.safetensors", ["-s", "inputSize=8"]],
])("forward with the %s of %s", async (part, name, flags) => {
  const weights = join(folder, `${part}-${name}.safetensors`);
  await imported(file(name), "-o", weights, ...flags);
  const inputs = new Map(["x", "t", "y"].map((input) => [input, expected.get(`${part}/${input}`)]));
  const outputs = await runEntry(bundle, { entry: "forward", inputs, weights, device: dawn.device });
  expect(expected.check(`${part}/out`, outputs.get("out")!.data as Float32Array)).toBeUndefined();
});

test("out to diffusers and back is the same weights, and the same outputs", async () => {
  const [out, back] = [join(folder, "diffusers"), join(folder, "back.safetensors")];
  const exported = await dit("export", file("tiny-bare.pt"), "-o", out, "-f", "diffusers", "-s", "numHeads=2");
  expect(exported.code, exported.err).toBe(0);
  // config.json beside it tells the side and the heads.
  await imported(join(out, "diffusion_pytorch_model.safetensors"), "-o", back);
  const inputs = new Map(["x", "t", "y"].map((input) => [input, expected.get(`ema/${input}`)]));
  const outputs = await runEntry(bundle, { entry: "forward", inputs, weights: back, device: dawn.device });
  expect(expected.check("ema/out", outputs.get("out")!.data as Float32Array)).toBeUndefined();
});

test("a training goes on: every tensor of the state is PyTorch's, and a step moves it", async () => {
  const run = join(folder, "run");
  await imported(file("tiny-trainer.pt"), "-o", run, "-s", "numHeads=2");
  const again = await dit("import", file("tiny-trainer.pt"), "-o", run, "-s", "numHeads=2");
  expect([again.code, again.err]).toEqual([1, expect.stringContaining("DIT4243")]);
  expect(existsSync(join(run, "weights.safetensors"))).toBe(true);
  const written = await readConfig(join(run, "train.json"));
  const { bundle } = await compile(written.model!, { set: settingsOf(written), batch: written.batch!, entries: ["train_step"] });
  const trainer = await Trainer.create(bundle, dawn.device, { batch: written.batch!, seed: 9 });
  try {
    const said: string[] = [];
    const options = { which: "last", allowChange: false, steps: 10, warn: (line: string) => void said.push(line) };
    const checkpoints = join(run, "checkpoints");
    const facts = await resume({ folder: checkpoints, ...options }, trainer, factsOf(trainer, { seed: 9, adapter: "this one" }));
    expect(said).toEqual([`resumed from ${join(checkpoints, "step-00000003.safetensors")}: step 3, 24 images seen`]);
    expect([facts.steps, facts.samples, facts.batch, facts.seed]).toEqual([3, 24, 8, 0]);

    const state = await trainer.snapshot();
    expect(state.get("step")![0]).toBe(3);
    await withSource(file("tiny-trainer.pt"), async (source) => {
      const checkpoint = await openCheckpoint(source);
      const [model, ema] = ["model", "ema"].map((which) => ditWeights(checkpoint, which).tensors);
      for (const [name, view] of model!) expect(state.get(`p.${name}`), name).toEqual(await view.read());
      const { moments } = (await optimizerState(checkpoint))!;
      expect(moments.size).toBe(31);
      for (const [name, { m, v }] of moments) {
        expect(state.get(`m.${name}`), name).toEqual(await m.read());
        expect(state.get(`v.${name}`), name).toEqual(await v.read());
        expect(state.get(`ema.${name}`), name).toEqual(await ema!.get(name)!.read());
      }
    });
    await trainer.step({
      x_start: new Float32Array(8 * 4 * 64).fill(0.3),
      y: Int32Array.from([0, 1, 2, 3, 4, 0, 1, 2]),
      seed: Uint32Array.of(1),
      first: Int32Array.of(24),
    });
    const { loss, finite, learningRate } = await trainer.losses();
    expect([finite, await trainer.stepCount()]).toEqual([true, 4]);
    expect(loss).toBeGreaterThan(0);
    expect(learningRate).toBeCloseTo(1e-4, 9);
  } finally {
    trainer.dispose();
  }
});
