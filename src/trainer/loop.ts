/**
 * Training: images in, a loss curve and weights out.
 *
 * The host's whole work in a step is to cut the next window out of the sample stream, write it and submit; the device is never waited
 * for, except every `readEvery` steps for one loss. Everything a step depends on is a function of (seed, number of the step), so two
 * runs on one adapter give the same bits. A step whose loss is not finite has changed nothing (the compiled update sees to that); the
 * loop then watches each step, and gives up after a few in a row with the weights as they were.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { batches } from "../data/batches.js";
import type { ImageSet } from "../data/image-set.js";
import { fail } from "../diagnostics/diagnostic.js";
import { writeFileAtomic } from "../formats/files.js";
import type { Bundle, Port } from "../program/program.js";
import { evaluate } from "../program/size.js";
import type { Inputs } from "../runtime/inputs.js";
import { Trainer, trainEntry } from "./trainer.js";
import { type Weights, weightsFile } from "./weights.js";

export interface TrainOptions {
  readonly bundle: Bundle;
  readonly device: GPUDevice;
  readonly images: ImageSet;
  /** Updates of the weights. */
  readonly steps: number;
  readonly batch: number;
  /** Of weights, order of images, and draws. */
  readonly seed: number;
  /** Mirror images at random. Default true. */
  readonly flip?: boolean | undefined;
  /** Start from these instead of fresh ones. */
  readonly weights?: Weights | undefined;
  /** Gets loss.jsonl as training goes, and weights.safetensors (the average) and weights-raw.safetensors at its end. */
  readonly outFolder?: string | undefined;
  /** The loss is read every so many steps, and at the first and the last. Default 10. */
  readonly readEvery?: number | undefined;
  /** After each submit. */
  readonly onStep?: ((done: number, total: number) => void) | undefined;
  readonly onLoss?: ((record: LossRecord) => void) | undefined;
  /** Asked before each step but the first; true ends the run as if its last step were done. */
  readonly stop?: ((done: number) => boolean) | undefined;
  readonly log?: ((line: string) => void) | undefined;
}

/** One line of loss.jsonl. */
export interface LossRecord {
  /** Steps done. */
  readonly step: number;
  /** Loss of that step's batch: null where it is not finite, since JSON has no such number. */
  readonly loss: number | null;
  readonly gradientNorm: number | null;
  readonly imagesPerSecond: number;
  /** Since the first step was begun. */
  readonly seconds: number;
}

export interface TrainResult {
  readonly steps: number;
  readonly seconds: number;
  readonly losses: readonly LossRecord[];
  readonly weights: Map<string, Float32Array>;
  /** The moving average: what samples are made with. */
  readonly ema: Map<string, Float32Array>;
}

/** Steps in a row without a finite loss after which a run has no future: its weights have not moved, and a batch alone is not at fault. */
const PATIENCE = 5;

/**
 * Errors: DIT4210 (nothing to train), DIT4211 (images and program do not fit), DIT4212 (a number is wrong), DIT4213 (losses are not
 * finite), and those of data, files and runtime.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { bundle, images, steps, batch, seed, outFolder, readEvery = 10 } = options;
  for (const [name, value] of Object.entries({ steps, batch, readEvery })) {
    if (!Number.isSafeInteger(value) || value < 1) fail("DIT4212", `${name} is ${value}, expected a whole number from 1`);
  }
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    fail("DIT4212", `seed is ${seed}, expected a whole number from 0 to ${2 ** 32 - 1}`);
  }
  const feed = feeder(trainEntry(bundle).inputs, images, seed);
  const stream = batches(images, { seed, flip: options.flip ?? true });
  const trainer = await Trainer.create(bundle, options.device, { ...options, entries: [] });
  try {
    const losses: LossRecord[] = [];
    const file = outFolder === undefined ? undefined : join(outFolder, "loss.jsonl");
    if (file) await writeFileAtomic(file, "");
    const begin = performance.now();
    let last = { step: 0, seconds: 0 };
    let bad = 0;

    const look = async (step: number): Promise<void> => {
      const { loss, gradientNorm } = await trainer.losses();
      const seconds = (performance.now() - begin) / 1000;
      const imagesPerSecond = ((step - last.step) * batch) / Math.max(1e-9, seconds - last.seconds);
      last = { step, seconds };
      const record = { step, loss: finite(loss), gradientNorm: finite(gradientNorm), imagesPerSecond, seconds };
      losses.push(record);
      // One write of one line: a crash leaves whole lines.
      if (file) appendFileSync(file, `${line(record)}\n`);
      options.onLoss?.(record);
      // The update looks at both: a finite loss may have gradients that are not.
      bad = record.loss === null || record.gradientNorm === null ? bad + 1 : 0;
      if (bad >= PATIENCE) notFinite(step, loss, gradientNorm, losses);
    };

    let done = 0;
    while (done < steps) {
      const first = done * batch;
      await trainer.step(feed(stream.at(first, batch), first));
      done++;
      options.onStep?.(done, steps);
      const ends = done === steps || (options.stop?.(done) ?? false);
      if (done === 1 || done % readEvery === 0 || bad > 0 || ends) await look(done);
      if (ends) break;
    }
    const weights = await trainer.weights("p");
    const ema = await trainer.weights("ema");
    const seconds = (performance.now() - begin) / 1000;
    if (outFolder !== undefined) {
      const facts = { steps: String(done), seed: String(seed), batch: String(batch) };
      await writeFileAtomic(
        join(outFolder, "weights.safetensors"),
        weightsFile(bundle.program, ema, { ...facts, average: "ema" }),
      );
      await writeFileAtomic(join(outFolder, "weights-raw.safetensors"), weightsFile(bundle.program, weights, facts));
    }
    return { steps: done, seconds, losses, weights, ema };
  } finally {
    trainer.dispose();
  }
}

const finite = (x: number): number | null => (Number.isFinite(x) ? x : null);

/** Rounded to what the numbers are worth, so that a log is pleasant to read. */
function line({ imagesPerSecond, seconds, ...rest }: LossRecord): string {
  return JSON.stringify({
    ...rest,
    imagesPerSecond: Number(imagesPerSecond.toPrecision(4)),
    seconds: Number(seconds.toFixed(3)),
  });
}

function notFinite(step: number, loss: number, gradientNorm: number, losses: readonly LossRecord[]): never {
  const good = losses.findLast((record) => record.loss !== null && record.gradientNorm !== null);
  fail("DIT4213", `training diverged: the last ${PATIENCE} losses or gradients were not finite`, {
    notes: [
      `step ${step}: loss ${loss}, gradient norm ${gradientNorm}`,
      good ? `last finite loss that was read: ${good.loss} at step ${good.step}` : "no loss was ever finite",
      "steps that are not finite change no weight",
    ],
    help: "lower the learning rate (--lr), clip gradients (--set clipNorm=1), warm up (--set warmupSteps=100), or look for bad images",
  });
}

/**
 * How a window of the stream becomes the inputs of a step: images as `x_start` (or `x`), labels as `y`, and for what is drawn on the
 * device the seed and the number of the batch's first sample.
 */
function feeder(
  ports: readonly Port[],
  images: ImageSet,
  seed: number,
): (window: { x: Float32Array; y: Int32Array }, first: number) => Inputs {
  const wanted = ports.filter(({ kind }) => kind === "input");
  const pixels = wanted.find(({ name }) => name === "x_start" || name === "x");
  const known = new Set([pixels?.name, "y", "seed", "first"]);
  const strange = wanted.map(({ name }) => name).filter((name) => !known.has(name));
  if (!pixels || strange.length > 0) {
    fail("DIT4211", "this program's training step is not one of labelled images", {
      notes: [`it takes ${wanted.map(({ name }) => name).join(", ")}; expected x_start or x, y, seed, first`],
      help: "compile it with draws=generated (the default), or write a loop of your own over the session",
    });
  }
  const shape = pixels.shape.map((size) => evaluate(size, 1));
  const { channels, height, width } = images;
  if (shape.reduce((product, size) => product * size, 1) !== channels * height * width) {
    fail("DIT4211", `the images are ${channels} x ${height} x ${width}, the model takes ${shape.slice(1).join(" x ")}`, {
      help: "choose a preset for these images, or set inputSize and inChannels",
    });
  }
  const names = new Set(wanted.map(({ name }) => name));
  return ({ x, y }, first) => ({
    [pixels.name]: x,
    ...(names.has("y") ? { y } : {}),
    ...(names.has("seed") ? { seed: Uint32Array.of(seed) } : {}),
    // The counter has 31 bits; the step is in the key too, so a wrap repeats nothing.
    ...(names.has("first") ? { first: Int32Array.of(first % 2 ** 31) } : {}),
  });
}
