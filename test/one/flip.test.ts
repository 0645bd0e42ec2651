// Mirrored images of a training step, drawn on the device.
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { drawBernoulli, drawBits, drawInt, drawNormal, keyOf, normalTable, purposeOf } from "../../src/program/random.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { Trainer } from "../../src/trainer/trainer.js";
import { freshWeights, type Weights } from "../../src/trainer/weights.js";

const small = [
  ...["inputSize=6", "patchSize=2", "inChannels=2", "hiddenSize=16", "depth=1", "numHeads=2", "mlpRatio=2"],
  ...["numClasses=3", "classDropoutProb=0", "guidance=1", "learningRate=2e-3"],
];
const [BATCH, CHANNELS, SIDE] = [8, 2, 6];
const PIXELS = CHANNELS * SIDE * SIDE;

let dawn: DawnDevice;

const images = Float32Array.from({ length: BATCH * PIXELS }, (_, i) => Math.sin(i * 0.37) + (i % SIDE) / SIDE);
const mirrored = (which: (sample: number) => boolean): Float32Array =>
  images.map((_, i) => {
    const x = i % SIDE;
    return which(Math.floor(i / PIXELS)) ? images[i - x + (SIDE - 1 - x)]! : images[i]!;
  });
const labels = Int32Array.from({ length: BATCH }, (_, i) => i % 3);

type Given = Record<string, Float32Array | Int32Array | Uint32Array>;
let trainers: Record<"generated" | "inputs", Trainer>;
let start: Weights;
beforeAll(async () => {
  dawn = await requestDevice();
  const trainer = async (draws: string) => {
    const set = [...small, "horizontalFlip=on", `draws=${draws}`];
    const { bundle } = await compile("models/dit.graph.ts", { set, entries: ["train_step"] });
    start = freshWeights(bundle, 1);
    return await Trainer.create(bundle, dawn.device, { batch: BATCH, seed: 1 });
  };
  trainers = { generated: await trainer("generated"), inputs: await trainer("inputs") };
});
afterAll(() => {
  for (const trainer of Object.values(trainers ?? {})) trainer.dispose();
  dawn?.dispose();
});

/** Losses of two steps: a fresh model predicts zero, whatever it sees, so the second shows more. */
async function losses(draws: keyof typeof trainers, inputs: (step: number) => Given): Promise<number[]> {
  const trainer = trainers[draws];
  await trainer.reset(start);
  const found: number[] = [];
  for (let step = 0; step < 2; step++) {
    await trainer.step(inputs(step));
    found.push((await trainer.losses()).loss);
  }
  return found;
}

const [SEED, FIRST] = [77, 1000];
const bits = (name: string, step: number, sample: number, element = 0): number =>
  drawBits(keyOf(SEED, purposeOf(name), step), element, FIRST + sample);
const flip = (step: number, sample: number): boolean => drawBernoulli(bits("draw.flip", step, sample), 2 ** 31);
const normals = normalTable();
/** The draws of a step, as the device makes them. */
const given = (step: number): Given => ({
  y: labels,
  "draw.t": Int32Array.from({ length: BATCH }, (_, i) => drawInt(bits("draw.t", step, i), 1000)),
  "draw.noise": Float32Array.from({ length: BATCH * PIXELS }, (_, i) =>
    drawNormal(bits("draw.noise", step, Math.floor(i / PIXELS), i % PIXELS), normals),
  ),
});

test("a flip that is given mirrors that image, and no other", async () => {
  const odd = (sample: number) => sample % 2 === 1 || sample === 4;
  const flips = Int32Array.from({ length: BATCH }, (_, i) => Number(odd(i)));
  const none = new Int32Array(BATCH);
  const flipped = await losses("inputs", (step) => ({ ...given(step), x_start: images, "draw.flip": flips }));
  expect(await losses("inputs", (step) => ({ ...given(step), x_start: mirrored(odd), "draw.flip": none }))).toEqual(flipped);
  const other = await losses("inputs", (step) => ({ ...given(step), x_start: images, "draw.flip": none }));
  expect(other[1]).not.toBe(flipped[1]);
});

test("flips are drawn by sample and step, half of them", async () => {
  const drawn = { y: labels, seed: Uint32Array.of(SEED), first: Int32Array.of(FIRST), x_start: images };
  const found = await losses("generated", () => drawn);
  const expected = await losses("inputs", (step) => ({
    ...given(step),
    x_start: mirrored((sample) => flip(step, sample)),
    "draw.flip": new Int32Array(BATCH),
  }));
  // Kernels that do the same may round a product and a sum once or twice.
  found.forEach((x, i) => {
    expect(Math.abs(x - expected[i]!)).toBeLessThan(64 * 2 ** -24 * expected[i]!);
  });
  const plain = await losses("inputs", (step) => ({ ...given(step), x_start: images, "draw.flip": new Int32Array(BATCH) }));
  expect(Math.abs(plain[1]! - expected[1]!)).toBeGreaterThan(1e-5);
  const many = Array.from({ length: 4000 }, (_, i) => Number(flip(0, i))).reduce((a, b) => a + b, 0);
  // Five standard deviations.
  expect(Math.abs(many - 2000)).toBeLessThan(5 * Math.sqrt(1000));
});
