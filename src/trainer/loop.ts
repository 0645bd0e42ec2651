/**
 * Training: images in, a loss curve, checkpoints and weights out.
 *
 * The host's whole work in a step is to cut the next window out of the sample stream, write it and submit; the device is never waited
 * for, except every `logEvery` steps for one look at the loss. Everything a step depends on is a function of (seed, number of samples
 * seen) and the state, so two runs on one adapter give the same bits, and so does one that goes on from a checkpoint. A step whose loss
 * or gradient is not finite has changed nothing (the compiled update sees to that); the loop then watches each step, and gives up after
 * a few in a row with the weights as they were.
 */
import { stream } from "../data/batches.js";
import type { ImageSource } from "../data/source.js";
import { fail } from "../diagnostics/diagnostic.js";
import type { Bundle } from "../program/program.js";
import type { Inputs } from "../runtime/inputs.js";
import type { Through } from "../runtime/session.js";
import { type CheckpointFacts, checkpointPath, factsOf, prune, type RunFacts, sweep, writeCheckpoint } from "./checkpoint.js";
import { feeder } from "./feeder.js";
import type { LossRecord } from "./record.js";
import { Trainer, trainEntry } from "./trainer.js";
import type { WeightSource } from "./weights.js";

export interface TrainOptions {
  readonly bundle: Bundle;
  readonly device: GPUDevice;
  /** Of the device, for checkpoints. */
  readonly adapter?: string | undefined;
  readonly images: ImageSource;
  /** Updates of the weights, those before a checkpoint included. */
  readonly steps: number;
  readonly batch: number;
  /** Of weights, order of images, and draws. */
  readonly seed: number;
  /** Start from these instead of fresh ones. */
  readonly weights?: WeightSource | undefined;
  /** Fills the state from a checkpoint. */
  readonly resume?: ((trainer: Trainer, now: RunFacts) => Promise<CheckpointFacts>) | undefined;
  /** Before the first step, when a checkpoint (if any) is loaded; gives the records of the steps before it. */
  readonly onBegin?: ((stepsDone: number) => Promise<readonly LossRecord[]>) | undefined;
  readonly checkpoints?: CheckpointPlan | undefined;
  /** The loss is read every so many steps, and at the first and the last. Default 10. */
  readonly logEvery?: number | undefined;
  /** Steps in a row without a finite loss after which a run has no future: its weights have not moved. Default 5. */
  readonly maxBadSteps?: number | undefined;
  /** After each submit. */
  readonly onStep?: ((done: number, total: number) => void) | undefined;
  readonly onLoss?: ((record: LossRecord) => void) | undefined;
  readonly onCheckpoint?: ((path: string) => void) | undefined;
  /** Every so many steps, with the average weights at hand; training waits for it. */
  readonly pause?: { readonly every: number; readonly visit: (done: number, trainer: Trainer) => Promise<void> } | undefined;
  /** Finds out where a step went wrong that was not finite: sentences for the error. */
  readonly blame?: ((trainer: Trainer, inputs: readonly Inputs[]) => Promise<readonly string[]>) | undefined;
  /** Asked after each step; true ends the run as if its last step were done. */
  readonly stop?: ((done: number) => boolean) | undefined;
  /** Runs the entries of the first step in another way than by `submit`: held against a reference, say. */
  readonly first?: Through | undefined;
  /** After the last step, with the weights still on the device: what is to be kept of them is read here. */
  readonly onEnd?: ((trainer: Trainer, steps: number) => Promise<void>) | undefined;
  readonly log?: ((line: string) => void) | undefined;
}

export interface CheckpointPlan {
  readonly folder: string;
  /** Steps between two; 0: only at the end. */
  readonly every: number;
  /** How many of the newest to keep, and of which steps to keep all (0: none). */
  readonly keepLast: number;
  readonly keepEvery: number;
}

export interface TrainResult {
  readonly steps: number;
  /** Of training, those before a checkpoint included. */
  readonly seconds: number;
  /** Share of the time, since it began or was resumed, that it waited for images, 0..1; the device may have been at work meanwhile. */
  readonly waited: number;
  readonly losses: readonly LossRecord[];
}

/**
 * Errors: DIT4210 (nothing to train), DIT4211 (images and program do not fit), DIT4212 (a number is wrong), DIT4213 (losses are not
 * finite), and those of data, checkpoints and runtime.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  checkNumbers(options);
  const { bundle, images, steps, batch, seed } = options;
  const feed = feeder(trainEntry(bundle).inputs, images, seed);
  const data = stream(images, { seed });
  if (!options.resume) data.begin(0, batch);
  const trainer = await Trainer.create(bundle, options.device, { ...options, entries: [] });
  try {
    const facts = factsOf(trainer, options);
    let { steps: done, samples } = (await options.resume?.(trainer, facts)) ?? { steps: 0, samples: 0 };
    const log = new Log(options, trainer, done, (await options.onBegin?.(done)) ?? []);
    const before = log.seconds;
    const save = async () => {
      const plan = options.checkpoints;
      if (!plan) return;
      const path = checkpointPath(plan.folder, done);
      await writeCheckpoint(path, trainer, { ...facts, steps: done, samples });
      await prune(plan.folder, { last: plan.keepLast, every: plan.keepEvery });
      options.onCheckpoint?.(path);
    };
    if (options.checkpoints) await sweep(options.checkpoints.folder);

    let checked = false;
    while (done < steps) {
      const inputs: Inputs[] = [];
      for (let i = 0; i < trainer.accumulate; i++, samples += batch) inputs.push(feed(await data.at(samples, batch), samples));
      await trainer.step(inputs, checked ? undefined : options.first);
      checked = true;
      done++;
      options.onStep?.(done, steps);
      const ends = done === steps || (options.stop?.(done) ?? false);
      if (await log.look(done, ends)) await diverged(log, trainer, inputs, options);
      const { checkpoints, pause } = options;
      if (ends || (checkpoints && checkpoints.every > 0 && done % checkpoints.every === 0)) await log.outside(save);
      if (pause && (ends || done % pause.every === 0)) await log.outside(() => pause.visit(done, trainer));
      if (ends) break;
    }
    await log.outside(async () => options.onEnd?.(trainer, done));
    return {
      steps: done,
      seconds: log.seconds,
      waited: data.waited / Math.max(1e-9, log.seconds - before),
      losses: log.records,
    };
  } finally {
    trainer.dispose();
  }
}

function checkNumbers({ steps, batch, seed, logEvery = 1, maxBadSteps = 1 }: TrainOptions): void {
  for (const [name, value] of Object.entries({ steps, batch, logEvery, maxBadSteps })) {
    if (!Number.isSafeInteger(value) || value < 1) fail("DIT4212", `${name} is ${value}, expected a whole number from 1`);
  }
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    fail("DIT4212", `seed is ${seed}, expected a whole number from 0 to ${2 ** 32 - 1}`);
  }
}

/** Looks at losses now and then, and keeps the time that training took. */
class Log {
  readonly records: LossRecord[];
  readonly #options: TrainOptions;
  readonly #trainer: Trainer;
  #begin: number;
  #last: { readonly step: number; readonly seconds: number };
  #bad = 0;

  constructor(options: TrainOptions, trainer: Trainer, done: number, before: readonly LossRecord[]) {
    this.#options = options;
    this.#trainer = trainer;
    this.records = [...before];
    const seconds = this.records.at(-1)?.seconds ?? 0;
    this.#begin = performance.now() - 1000 * seconds;
    this.#last = { step: done, seconds };
  }

  get seconds(): number {
    return (performance.now() - this.#begin) / 1000;
  }

  /** Work that is not training: its time does not count. */
  async outside(work: () => Promise<void>): Promise<void> {
    const begin = performance.now();
    await work();
    this.#begin += performance.now() - begin;
  }

  /** Reads the loss when it is time to; true: too many steps in a row were not finite. */
  async look(step: number, ends: boolean): Promise<boolean> {
    const { logEvery = 10, maxBadSteps = 5, batch, onLoss } = this.#options;
    if (!(step === 1 || step % logEvery === 0 || this.#bad > 0 || ends)) return false;
    const { loss, mse, vb, gradientNorm, learningRate, lossScale } = await this.#trainer.losses();
    const seconds = this.seconds;
    const images = (step - this.#last.step) * batch * this.#trainer.accumulate;
    const record: LossRecord = {
      step,
      loss: finite(loss),
      ...(mse === undefined ? {} : { mse: finite(mse) }),
      ...(vb === undefined ? {} : { vb: finite(vb) }),
      gradientNorm: finite(gradientNorm),
      ...(learningRate === undefined ? {} : { learningRate: finite(learningRate) }),
      ...(lossScale === undefined ? {} : { lossScale }),
      skipped: step - (await this.#trainer.stepCount()),
      imagesPerSecond: images / Math.max(1e-9, seconds - this.#last.seconds),
      seconds,
      memory: process.memoryUsage.rss(),
    };
    this.#last = { step, seconds };
    this.records.push(record);
    onLoss?.(record);
    // The update looks at both: a finite loss may have gradients that are not, which may be the scale's fault while that can be smaller.
    const overflowed = record.gradientNorm === null && (lossScale ?? 1) <= 1;
    this.#bad = record.loss === null || overflowed ? this.#bad + 1 : 0;
    return this.#bad >= maxBadSteps;
  }
}

const finite = (x: number): number | null => (Number.isFinite(x) ? x : null);

async function diverged(log: Log, trainer: Trainer, inputs: readonly Inputs[], options: TrainOptions): Promise<never> {
  const { step, loss, gradientNorm } = log.records.at(-1)!;
  const good = log.records.findLast((record) => record.loss !== null && record.gradientNorm !== null);
  const shown = (x: number | null) => (x === null ? "not finite" : String(x));
  return fail("DIT4213", `training diverged: the last ${options.maxBadSteps ?? 5} losses or gradients were not finite`, {
    notes: [
      `step ${step}: loss ${shown(loss)}, gradient norm ${shown(gradientNorm)}`,
      good ? `last finite loss that was read: ${good.loss} at step ${good.step}` : "no loss was ever finite",
      ...((await options.blame?.(trainer, inputs)) ?? []),
      "steps that are not finite change no weight",
    ],
    help: "lower the learning rate (--lr), clip gradients (--set clipNorm=1), warm up (--set warmupSteps=100), or look for bad images",
  });
}
