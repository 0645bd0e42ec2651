/**
 * A run that stops and goes on ends with the bytes of one that never stopped; what is damaged, or belongs to something else, is named.
 * The images, the model and the moments at which runs stop are small, so that many of them fit into seconds.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { inMemory } from "../../src/data/source.js";
import { parseSafetensors, type StoredTensor, writeSafetensors } from "../../src/formats/safetensors.js";
import type { Bundle } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { checkpointPath, listCheckpoints } from "../../src/trainer/checkpoint.js";
import { train } from "../../src/trainer/loop.js";
import { type ResumeOptions, resume } from "../../src/trainer/resume.js";

const settings = [
  ...["inputSize=4", "patchSize=2", "inChannels=1", "hiddenSize=16", "depth=1", "numHeads=2", "mlpRatio=2", "numClasses=3"],
  ...["learnSigma=false", "learningRate=5e-3", "clipNorm=1"],
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
let root: string;
beforeAll(async () => {
  dawn = await requestDevice();
  ({ bundle } = await compile("models/dit.graph.ts", { set: settings, entries: ["train_step"] }));
  root = mkdtempSync(join(tmpdir(), "dit-resume-"));
});
afterAll(() => {
  dawn?.dispose();
  rmSync(root, { recursive: true, force: true });
});

type Options = Partial<Parameters<typeof train>[0]>;
const said: string[] = [];

/** 40 steps into a folder, checkpoints every 7, with what a test wants otherwise. */
const run = (folder: string, more: Options = {}) =>
  train({
    bundle,
    device: dawn.device,
    adapter: "the adapter",
    images,
    steps: 40,
    batch: 8,
    seed: 1,
    checkpoints: { folder, every: 7, keepLast: 3, keepEvery: 0 },
    ...more,
  });
const going = (folder: string, more: Partial<ResumeOptions> = {}): Options => ({
  resume: (trainer, now) =>
    resume({ folder, which: "last", allowChange: false, steps: 40, warn: (line) => said.push(line), ...more }, trainer, now),
});
const place = (name: string) => join(root, name);
const refusal = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "it went on",
    (error: Error) => error.message.replaceAll(root, "ROOT"),
  );

test("a run that stops anywhere and goes on ends with the same bytes in every tensor", async () => {
  const straight = place("straight");
  await run(straight);
  const last = readFileSync(checkpointPath(straight, 40));
  expect(listCheckpoints(straight).map(({ steps }) => steps)).toEqual([40, 35, 28]);
  // Everything that a step depends on is in the file.
  const names = [...parseSafetensors(last, "last").tensors.keys()];
  expect(names).toContain("step");
  for (const set of ["p", "m", "v", "ema"])
    expect(names.filter((name) => name.startsWith(`${set}.blocks.0.mlp`))).toHaveLength(4);
  for (const at of [1, 13, 20, 39]) {
    const folder = place(`stopped-${at}`);
    await run(folder, { stop: (done) => done === at });
    await run(folder, going(folder));
    expect(readFileSync(checkpointPath(folder, 40)).equals(last), `stopped after ${at}`).toBe(true);
  }
});

test("the average of a checkpoint, and what to keep", async () => {
  const folder = place("keep");
  await run(folder, { steps: 12, checkpoints: { folder, every: 2, keepLast: 2, keepEvery: 4 } });
  expect(listCheckpoints(folder).map(({ steps }) => steps)).toEqual([12, 10, 8, 4]);
  // What a process leaves that dies while it writes is swept away by the next.
  writeFileSync(join(folder, ".step-00000014.safetensors.abc.tmp"), "half");
  await run(folder, { ...going(folder), steps: 14, checkpoints: { folder, every: 0, keepLast: 1, keepEvery: 0 } });
  expect(readdirSync(folder)).toEqual(["step-00000014.safetensors"]);
});

test("a damaged checkpoint is named, and the one before it is taken only when asked", async () => {
  const folder = place("damaged");
  await run(folder);
  const path = checkpointPath(folder, 40);
  const bytes = readFileSync(path);
  rmSync(path);
  const whole = readFileSync(checkpointPath(folder, 35));
  const newest = checkpointPath(folder, 36);
  for (const at of [200, Math.floor(whole.length / 2), whole.length - 1]) {
    const damaged = Buffer.from(whole);
    damaged[at] = damaged[at]! ^ 1;
    writeFileSync(newest, damaged);
    expect(await refusal(run(folder, going(folder)))).toMatch(
      /^error DIT40\d\d: ROOT\/damaged\/step-00000036.safetensors[\s\S]*--resume last-good goes on from the newest checkpoint that is whole$/,
    );
  }
  expect(await refusal(run(folder, going(folder)))).toBe(
    [
      "error DIT4016: ROOT/damaged/step-00000036.safetensors is damaged: its bytes are not those that were written",
      "  note: the SHA-256 in its header belongs to other bytes",
      "  help: --resume last-good goes on from the newest checkpoint that is whole",
    ].join("\n"),
  );
  writeFileSync(newest, whole.subarray(0, 20_000));
  expect(await refusal(run(folder, going(folder)))).toContain("DIT4014");
  said.length = 0;
  await run(folder, going(folder, { which: "last-good" }));
  expect(said.map((line) => line.replaceAll(root, "ROOT"))).toEqual([
    expect.stringMatching(/^error DIT4014: ROOT\/damaged\/step-00000036.*; trying the one before it$/),
    "resumed from ROOT/damaged/step-00000035.safetensors: step 35, 280 images seen",
  ]);
  expect(readFileSync(path).equals(bytes)).toBe(true);
});

test("what belongs to something else is refused", async () => {
  const folder = place("other");
  expect(await refusal(run(folder, going(folder)))).toBe(
    [
      "error DIT4233: there is no checkpoint in ROOT/other",
      "  note: the run ended before its first one was written",
      "  help: begin again: choose another --output, or remove the folder",
    ].join("\n"),
  );
  await run(folder, { steps: 2 });
  const path = checkpointPath(folder, 2);
  const { tensors, metadata } = parseSafetensors(readFileSync(path), path);
  const rewrite = (change: (tensors: Map<string, StoredTensor>) => void, notes = new Map(metadata)) => {
    const copy = new Map(tensors);
    change(copy);
    notes.delete("sha256");
    writeFileSync(place("changed.safetensors"), writeSafetensors(copy, notes));
    return refusal(run(folder, going(folder, { which: place("changed.safetensors") })));
  };
  const bias = tensors.get("m.final_layer.linear.bias")!;
  const belongs = ["error DIT4231: ROOT/changed.safetensors does not hold the state of this program"];
  const resumeWith = "  help: resume with the model file, preset and settings that the run began with";
  expect(await rewrite((t) => t.delete("m.final_layer.linear.bias"))).toBe(
    [...belongs, "  note: m.final_layer.linear.bias: expected F32 [4], found none", resumeWith].join("\n"),
  );
  expect(await rewrite((t) => t.set("p.more", bias))).toBe(
    [...belongs, "  note: p.more: the program has no such tensor", resumeWith].join("\n"),
  );
  expect(await rewrite((t) => t.set("m.final_layer.linear.bias", { ...bias, shape: [2, 2] }))).toBe(
    [...belongs, "  note: m.final_layer.linear.bias: expected F32 [4], found F32 [2, 2]", resumeWith].join("\n"),
  );
  expect(await rewrite((t) => t.set("m.final_layer.linear.bias", { ...bias, data: Float32Array.of(0, Number.NaN, 0, 0) }))).toBe(
    [
      'error DIT4232: ROOT/changed.safetensors: tensor "m.final_layer.linear.bias" has NaN at element 1',
      "  note: a step that is not finite changes nothing, so a run does not write such numbers",
      "  help: use an earlier checkpoint: --resume last-good, or --resume FILE",
    ].join("\n"),
  );
  expect(await rewrite(() => {}, new Map([["format", "pt"]]))).toBe(
    [
      "error DIT4230: ROOT/changed.safetensors is no checkpoint of a training run",
      '  note: its metadata has no "checkpoint"; it says it is "pt"',
      "  help: name a file that dit-compile train wrote into checkpoints/; weights alone begin a new run: --weights FILE",
    ].join("\n"),
  );
  expect(await refusal(run(folder, { ...going(folder), batch: 4, seed: 2, adapter: "another" }))).toBe(
    [
      "error DIT4234: the run of ROOT/other/step-00000002.safetensors would go on under other conditions, and with other bits",
      "  note: seed: 1 before, 2 now",
      "  note: batch: 8 before, 4 now",
      "  note: adapter: the adapter before, another now",
      "  help: give the flags and the driver that it began with, or --allow-change to go on all the same",
    ].join("\n"),
  );
  expect(await refusal(run(folder, going(folder, { steps: 2 })))).toBe(
    [
      "error DIT4235: ROOT/other/step-00000002.safetensors has done 2 steps, and 2 are wanted",
      "  help: give more --steps, like --steps 4",
    ].join("\n"),
  );
  said.length = 0;
  await run(folder, { ...going(folder, { allowChange: true }), steps: 3, adapter: "another" });
  expect(said[0]).toBe("changed: adapter: the adapter before, another now");
});
