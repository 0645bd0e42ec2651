/**
 * The demo: a small diffusion transformer learns to draw clothes, on whatever this machine has, in ten minutes at most.
 *
 * How long a step takes differs by a factor of a thousand between machines, so the number of steps and of pictures follows from a
 * budget of time and a few measured steps; it never changes what a step computes. At the end measure.ts says what the pictures are
 * worth and judge.ts what they must be. Which data: Fashion-MNIST, because it is real, small (31 MB), under the MIT licence, and its ten
 * classes can be told apart at 28 x 28 pixels.
 */
import { join } from "node:path";
import type { FashionMnist } from "../data/fashion-mnist.js";
import { gridPng } from "../data/grid.js";
import { inMemory } from "../data/source.js";
import { writeFileAtomic } from "../formats/files.js";
import { openWeights } from "../node/weights.js";
import type { Bundle } from "../program/program.js";
import { figures, judge, lossesOf, type Outcome } from "./judge.js";
import { train } from "./loop.js";
import { measure } from "./measure.js";
import type { LossRecord } from "./record.js";
import { type PageFacts, RunFolder } from "./run-folder.js";
import { sample, samplingSteps } from "./sampler.js";
import { resolveConfig } from "./train-config.js";

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
    "guidance=4",
    "guidedChannels=1",
  ],
  batch: 32,
  entries: ["train_step", "sample"],
} as const;

const { batch } = demoSettings;
const CLASSES = 10;
/** These bounds keep a fast machine from training for nothing and a slow one from drawing for ever. */
const MOST_STEPS = 10_000;
const MOST_ROWS = 10;
/** Two pictures of a class have a distance. */
const LEAST_ROWS = 2;
/** Seconds in all, of training, and what measuring the pictures at the end may take. */
const BUDGET = 560;
const MOST_TRAINING = 480;
const MEASURING = 20;
const WARM_UP = 3;
const MEASURED = 3;

export interface DemoOptions {
  readonly bundle: Bundle;
  readonly device: GPUDevice;
  readonly data: FashionMnist;
  readonly outFolder: string;
  /** What the page of the run says beside its figures. */
  readonly facts: Pick<PageFacts, "title" | "adapter" | "compileReport">;
  /** Seconds for everything together. Default: what leaves ten minutes with compiling and reading the data. */
  readonly seconds?: number | undefined;
  readonly seed?: number;
  readonly say: (line: string) => void;
  readonly onProgress: (stage: "train" | "sample", done: number, total: number, note: string) => void;
}

export interface DemoResult extends Outcome {
  readonly steps: number;
  /** Sentences on what was required and not reached; empty: all is well. */
  readonly missed: readonly string[];
}

export interface DemoPlan {
  readonly steps: number;
  readonly rows: number;
}

/**
 * Divides a budget of seconds: drawing gets at most a seventh of it, and what it does not need goes to training. A pass of one image
 * through the model costs about a third of its share of a training step; guidance takes two passes for each sampling step.
 */
export function planDemo(secondsPerStep: number, budget: number, stepsOfSampler: number): DemoPlan {
  const row = (CLASSES / batch) * stepsOfSampler * 2 * (secondsPerStep / 3);
  const rows = Math.max(LEAST_ROWS, Math.min(MOST_ROWS, Math.floor((0.15 * budget) / row)));
  const steps = Math.floor(Math.min(MOST_TRAINING, budget - rows * row) / secondsPerStep);
  return { steps: Math.max(10, Math.min(MOST_STEPS, steps)), rows };
}

export async function demo(options: DemoOptions): Promise<DemoResult> {
  const { bundle, device, data, outFolder, say, seed = 0, seconds = BUDGET } = options;
  const begin = performance.now();
  const passed = () => (performance.now() - begin) / 1000;

  // How fast is this machine? The measured steps are thrown away.
  const speed = await secondsPerStep(options, seed);
  // Kernels are compiled again, for training and for drawing.
  const spent = 2.5 * passed() + MEASURING;
  const plan = planDemo(speed, seconds - spent, samplingSteps(bundle));
  const whole = plan.steps >= MOST_STEPS ? "as many as are worth while" : "as many as there is time for";
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
    onEnd: (trainer, steps) => folder.weights(trainer, config, steps),
  });
  const loss = lossesOf(result.losses);
  const images = result.steps * batch;
  say(
    `${result.steps} steps, ${images} images in ${result.seconds.toFixed(0)} s; loss ${loss.first.toFixed(3)} → ${loss.last.toFixed(3)}`,
  );

  const labels = Int32Array.from({ length: CLASSES * plan.rows }, (_, i) => i % CLASSES);
  const drawn = await sample({
    bundle,
    device,
    weights: await openWeights(folder.at("weights.safetensors"), bundle.program),
    labels,
    seed,
    batch: Math.min(labels.length, 50),
    onStep: (done, total) => options.onProgress("sample", done, total, ""),
  });
  await folder.grid(result.steps, drawn, CLASSES);
  await folder.page(config, { ...options.facts, attribution: data.attribution, finished: true });
  await writeFileAtomic(join(outFolder, "samples.png"), gridPng(drawn.images, drawn.shape, { columns: CLASSES, scale: 2 }));

  const outcome: Outcome = { images, loss, measures: measure({ pixels: drawn.images, labels }, data) };
  for (const line of figures(outcome)) say(line);
  return { ...outcome, steps: result.steps, missed: judge(outcome) };
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
