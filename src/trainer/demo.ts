/**
 * The demo: a small diffusion transformer learns to draw clothes, on whatever this machine has, in minutes.
 *
 * How long a step takes differs by a factor of a thousand between machines, so the number of steps and of pictures follows from a
 * budget of time and a few measured steps; it never changes what a step computes. At the end two figures must be reached: half of the
 * fresh model's held-out error, and pictures that are nearer to real ones than noise is. Which data: Fashion-MNIST, because it is real,
 * small (31 MB), under the MIT licence, and its ten classes can be told apart at 28 x 28 pixels.
 */
import { join } from "node:path";
import type { FashionMnist } from "../data/fashion-mnist.js";
import { gridPng } from "../data/grid.js";
import { inMemory } from "../data/source.js";
import { writeFileAtomic } from "../formats/files.js";
import type { Bundle } from "../program/program.js";
import { createSession } from "../runtime/session.js";
import { train } from "./loop.js";
import { heldOut, heldOutError, nearestDistance, noiseLike } from "./measure.js";
import type { LossRecord } from "./record.js";
import { RunFolder } from "./run-folder.js";
import { sample, samplingSteps } from "./sampler.js";
import { resolveConfig } from "./train-config.js";
import { freshWeights } from "./weights.js";

/**
 * What the demo compiles `models/dit.graph.ts` with: settings under which this small model learns fastest. Small batches and a short
 * warm-up, because a slow machine sees few images: 5,800 of them in batches of 32 taught as much as 10,000 in batches of 64.
 */
export const demoSettings = {
  preset: "fashion",
  set: [
    "learningRate=2e-3",
    "warmupSteps=50",
    "clipNorm=1",
    "emaDecay=0.998",
    "sampler=ddim",
    "respacing=ddim50",
    "clipDenoised=true",
    "guidance=3",
    "guidedChannels=1",
  ],
  batch: 32,
  entries: ["train_step", "loss_and_grad", "sample"],
} as const;

const { batch } = demoSettings;
const CLASSES = 10;
/** The paths of a run are many; these bounds keep a fast machine from training for nothing and a slow one from drawing for ever. */
const MOST_STEPS = 5000;
const MOST_ROWS = 10;
/** Fewer steps than this draw nothing that is worth looking at. */
const ENOUGH_STEPS = 300;
const BUDGETS = [330, 430] as const;
const WARM_UP = 3;
const MEASURED = 3;
const HELD_OUT_BATCHES = 4;

export interface DemoOptions {
  readonly bundle: Bundle;
  readonly device: GPUDevice;
  readonly data: FashionMnist;
  readonly outFolder: string;
  /** Seconds for measuring, training and drawing together. Default: five and a half minutes, and seven where too little fits into those. */
  readonly seconds?: number | undefined;
  readonly seed?: number;
  readonly say: (line: string) => void;
  readonly onProgress: (stage: "train" | "sample", done: number, total: number, note: string) => void;
}

export interface DemoResult {
  readonly steps: number;
  readonly heldOut: { readonly fresh: number; readonly trained: number };
  readonly distance: { readonly samples: number; readonly noise: number; readonly real: number };
  /** Sentences on what was required and not reached; empty: all is well. */
  readonly missed: readonly string[];
}

export interface DemoPlan {
  readonly steps: number;
  readonly rows: number;
}

/**
 * Divides a budget: drawing gets at most a seventh of it, and what it does not need goes to training. A pass of one image through the
 * model costs about a third of its share of a training step; guidance takes two passes for each sampling step.
 */
export function planDemo(secondsPerStep: number, budget: number, stepsOfSampler: number): DemoPlan {
  const row = (CLASSES / batch) * stepsOfSampler * 2 * (secondsPerStep / 3);
  const rows = Math.max(1, Math.min(MOST_ROWS, Math.floor((0.15 * budget) / row)));
  const steps = Math.floor((budget - rows * row) / secondsPerStep);
  return { steps: Math.max(10, Math.min(MOST_STEPS, steps)), rows };
}

export async function demo(options: DemoOptions): Promise<DemoResult> {
  const { bundle, device, data, outFolder, say, seed = 0 } = options;
  const begin = performance.now();
  const passed = () => (performance.now() - begin) / 1000;

  // Before: what a fresh model knows, and how fast this machine is. The measured steps are thrown away.
  const question = heldOut(data.test, batch, HELD_OUT_BATCHES, seed);
  const fresh = await ask(bundle, device, question, freshWeights(bundle, seed));
  say(`held-out error of the fresh model: ${fresh.toFixed(4)} (it finds no noise yet: 1 is the noise itself)`);
  const speed = await secondsPerStep(options, seed);
  // What is asked after training costs about as much as what was asked before it.
  const spent = 1.25 * passed();
  const plans = (options.seconds === undefined ? BUDGETS : [options.seconds]).map((seconds) => {
    return { ...planDemo(speed, seconds - spent, samplingSteps(bundle)), seconds };
  });
  const plan = plans.find(({ steps }) => steps >= ENOUGH_STEPS) ?? plans.at(-1)!;
  const whole =
    plan.steps >= MOST_STEPS
      ? "as many as are worth while"
      : `as many as fit into the ${Math.round(plan.seconds)} s of this demo`;
  say(
    `a training step of ${batch} images takes ${(1000 * speed).toFixed(0)} ms here: ${plan.steps} steps, ${whole}, then ${CLASSES * plan.rows} pictures`,
  );

  const folder = new RunFolder(outFolder);
  const { preset, set } = demoSettings;
  const settings = Object.fromEntries(set.map((text) => text.split("=") as [string, string]));
  const config = resolveConfig({
    model: "models/dit.graph.ts",
    data: "fashion-mnist",
    preset,
    set: settings,
    batch,
    seed,
    steps: plan.steps,
  });
  let note = "";
  // Someone else may be using this machine: the clock has the last word.
  const deadline = passed() + 1.05 * plan.steps * speed;
  const result = await train({
    bundle,
    device,
    images: inMemory(data.train),
    steps: plan.steps,
    batch,
    seed,
    onBegin: (done) => folder.begin(config, data.attribution, done),
    onLoss: (record: LossRecord) => {
      const { loss, imagesPerSecond } = record;
      folder.record(record);
      note = `loss ${loss?.toFixed(3)}, ${imagesPerSecond.toFixed(0)} images/s`;
    },
    onStep: (done, total) => options.onProgress("train", done, total, note),
    stop: () => passed() > deadline,
  });
  await folder.weights(bundle.program, result, config, result.steps);
  const means = lossMeans(result.losses);
  say(`${result.steps} steps, ${result.steps * batch} images in ${result.seconds.toFixed(0)} s; loss ${means.join(" → ")}`);

  const trained = await ask(bundle, device, question, result.ema);
  const labels = Int32Array.from({ length: CLASSES * plan.rows }, (_, i) => i % CLASSES);
  const drawn = await sample({
    bundle,
    device,
    weights: result.ema,
    labels,
    seed,
    batch: Math.min(labels.length, 50),
    onStep: (done, total) => options.onProgress("sample", done, total, ""),
  });
  await writeFileAtomic(join(outFolder, "samples.png"), gridPng(drawn.images, drawn.shape, { columns: CLASSES, scale: 2 }));

  const count = labels.length;
  const real = heldOut(data.train, count, 1, seed + 1).batches[0]!.x_start;
  const distance = {
    samples: nearestDistance(drawn.images, data.test),
    noise: nearestDistance(noiseLike(data.test, count, seed), data.test),
    real: nearestDistance(real, data.test),
  };
  const missed = judge(fresh, trained, distance);
  say(`held-out error: ${trained.toFixed(4)} after training, ${fresh.toFixed(4)} before (required: at most half)`);
  say(
    `mean distance to the nearest real test image: pictures ${distance.samples.toFixed(2)}, noise of the same mean and variance ` +
      `${distance.noise.toFixed(2)} (required: below it), real training images ${distance.real.toFixed(2)}`,
  );
  return { steps: result.steps, heldOut: { fresh, trained }, distance, missed };
}

/** What a run must reach, as sentences where it did not. */
export function judge(fresh: number, trained: number, distance: { readonly samples: number; readonly noise: number }): string[] {
  const missed: string[] = [];
  // Written so that a NaN is a miss.
  if (!(trained <= fresh / 2)) {
    missed.push(`the held-out error is ${trained.toFixed(4)}; at most half of the fresh model's ${fresh.toFixed(4)} is required`);
  }
  if (!(distance.samples < distance.noise)) {
    missed.push(
      `the pictures' mean distance to the nearest real image is ${distance.samples.toFixed(2)}; less than noise's ${distance.noise.toFixed(2)} is required`,
    );
  }
  return missed;
}

async function ask(
  ...[bundle, device, question, weights]: [Bundle, GPUDevice, ReturnType<typeof heldOut>, Map<string, Float32Array>]
) {
  const session = await createSession(bundle, device, { batch, entries: ["loss_and_grad"] });
  try {
    return await heldOutError(session, question, weights);
  } finally {
    session.dispose();
  }
}

/** The quickest of a few steps after those that compile kernels. */
async function secondsPerStep({ bundle, device, data }: DemoOptions, seed: number): Promise<number> {
  const times: number[] = [];
  let before = 0;
  const onLoss = ({ step, seconds }: LossRecord) => {
    if (step > WARM_UP) times.push(seconds - before);
    before = seconds;
  };
  await train({ bundle, device, images: inMemory(data.train), steps: WARM_UP + MEASURED, batch, seed, logEvery: 1, onLoss });
  return Math.min(...times);
}

/** First, middle and last losses, each a mean of a few: single batches are noisy. */
function lossMeans(losses: readonly LossRecord[]): string[] {
  const few = Math.max(1, Math.min(10, Math.floor(losses.length / 3)));
  const middle = Math.floor((losses.length - few) / 2);
  const mean = (from: number) => losses.slice(from, from + few).reduce((sum, { loss }) => sum + (loss ?? Number.NaN), 0) / few;
  return [losses[0]?.loss ?? Number.NaN, mean(middle), mean(losses.length - few)].map((x) => x.toFixed(3));
}
