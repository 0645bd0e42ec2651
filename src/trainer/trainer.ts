/**
 * The state of a training run on a device: weights, both moments, their average and the step counter, moved on by the entry
 * `train_step`, or, in a program that was compiled to take several batches a step, by `accumulate` for each of them and `update` at the
 * end. A step is one submit for each of these and reads nothing back; what the host wants to know it asks for, and only then waits.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { type ReadWeight, writeWeights } from "../node/weights.js";
import type { Bundle, Entry, Port } from "../program/program.js";
import type { Inputs } from "../runtime/inputs.js";
import { createSession, type Session, type Through } from "../runtime/session.js";
import { freshly, readerOf, type WeightSource } from "./weights.js";

export interface TrainerOptions {
  readonly batch: number;
  /** For fresh weights; the draws of a step have a seed of their own, among its inputs. */
  readonly seed: number;
  /** Start from these instead. */
  readonly weights?: WeightSource | undefined;
  /** Entries to have beside those that train, on the same weights. */
  readonly entries?: readonly string[] | undefined;
  readonly log?: ((line: string) => void) | undefined;
}

/** What a step found: means over all its samples. */
export interface Losses {
  readonly loss: number;
  /** Mean squared error and the variational bound's part, where the objective has them. */
  readonly mse?: number;
  readonly vb?: number;
  readonly gradientNorm: number;
  /** 0 when the step was not taken. */
  readonly learningRate: number;
  /** What the loss was multiplied by for its gradients, where it is (--dtype f16). */
  readonly lossScale?: number;
  /** Whether loss and gradients were finite; else the step has changed nothing. */
  readonly finite: boolean;
}

/** The entry that a batch is given to. Error: DIT4210. */
export function trainEntry({ program }: Bundle): Entry {
  const entry = (name: string) => program.entries.find((e) => e.name === name);
  const names = program.entries.map(({ name }) => name);
  const help = "compile a model that has an objective, with the entry train_step (or accumulate and update)";
  return (
    entry("train_step") ??
    (entry("update") && entry("accumulate")) ??
    fail("DIT4210", `the program cannot be trained: it has no entry "train_step"`, {
      notes: [`it has ${names.join(", ")}`],
      help,
    })
  );
}

/** All entries that a step runs. */
export const trainEntries = (bundle: Bundle): readonly string[] =>
  trainEntry(bundle).name === "accumulate" ? ["accumulate", "update"] : ["train_step"];

const submit: Through = (session, entry, inputs) => session.submit(entry, inputs);

export class Trainer {
  readonly session: Session;
  readonly #bundle: Bundle;
  /** Parameters that a step changes: those with moments. */
  readonly #trained: readonly string[];
  /** Batches that one step takes. */
  readonly accumulate: number;

  private constructor(session: Session, bundle: Bundle) {
    this.session = session;
    this.#bundle = bundle;
    const known = new Set(session.names);
    this.#trained = bundle.program.parameters.map(({ name }) => name).filter((name) => known.has(`m.${name}`));
    this.accumulate = trainEntry(bundle).name === "accumulate" ? Number(bundle.program.model.config.accumulate) : 1;
  }

  static async create(bundle: Bundle, device: GPUDevice, options: TrainerOptions): Promise<Trainer> {
    const { batch, seed, entries = [], log } = options;
    const session = await createSession(bundle, device, { batch, entries: [...trainEntries(bundle), ...entries], log });
    try {
      const trainer = new Trainer(session, bundle);
      await trainer.reset(options.weights ?? freshly(bundle, seed));
      return trainer;
    } catch (error) {
      session.dispose();
      throw error;
    }
  }

  /** The inputs that each batch of a step wants of its caller. */
  get inputs(): readonly Port[] {
    return trainEntry(this.#bundle).inputs.filter(({ kind }) => kind === "input");
  }

  /** The state before the first step: these weights, their average a copy of them, and nothing learned. */
  async reset(weights: WeightSource): Promise<void> {
    const { session } = this;
    await writeWeights(session, readerOf(weights), { ema: true });
    const sizes = this.#trained.map((name) => session.bytesOf(`m.${name}`) / 4);
    const zeros = new Float32Array(Math.max(0, ...sizes));
    for (const [i, name] of this.#trained.entries()) {
      for (const set of ["m", "v"]) await session.write(`${set}.${name}`, zeros.subarray(0, sizes[i]!));
    }
    for (const name of this.counterNames) await session.write(name, Int32Array.of(0));
    await this.#begin();
  }

  /** What has been summed up of a step that was not ended is forgotten: the next batch is a step's first. */
  async #begin(): Promise<void> {
    if (this.accumulate > 1) await this.session.write("accumulated", Int32Array.of(0));
  }

  /**
   * Submits one step; resolves when it is on its way. Takes the inputs of `accumulate` batches, one after another; of one batch also by
   * itself. `through` runs its entries in another way than by `submit`. Error: DIT4214 (another number of batches).
   */
  async step(inputs: Inputs | readonly Inputs[], through: Through = submit): Promise<void> {
    const batches = (Array.isArray(inputs) ? inputs : [inputs]) as readonly Inputs[];
    if (batches.length !== this.accumulate) {
      fail("DIT4214", `a step takes ${this.accumulate} batches, found ${batches.length}`, {
        help: "the setting accumulate says how many; the program is compiled for that",
      });
    }
    const { name } = trainEntry(this.#bundle);
    try {
      for (const batch of batches) await through(this.session, name, batch);
    } catch (error) {
      // Half a step is none. What is wrong with the device, the caller hears from the first error.
      await this.#begin().catch(() => {});
      throw error;
    }
    if (name === "accumulate") await through(this.session, "update", {});
  }

  /** What the last step found; waits for it. */
  async losses(): Promise<Losses> {
    // Sums of several batches are state; what one batch found is an output.
    const summed = this.accumulate > 1;
    const ended = summed ? "update" : "train_step";
    const name = (part: string) => (summed ? `state.${part}` : `train_step.${part}`);
    const known = new Set(this.session.names);
    const means = ["loss", "mse", "vb"].filter((part) => known.has(name(part)));
    const scale = known.has(`${ended}.loss_scale`) ? [`${ended}.loss_scale`] : [];
    const read = await this.session.read([...means.map(name), `${ended}.gradient_norm`, `${ended}.learning_rate`, ...scale]);
    const found = Object.fromEntries(means.map((part) => [part, read[name(part)]![0]!])) as { readonly loss: number };
    const gradientNorm = read[`${ended}.gradient_norm`]![0]!;
    const learningRate = read[`${ended}.learning_rate`]![0]!;
    const lossScale = scale.length > 0 ? { lossScale: read[scale[0]!]![0]! } : {};
    return {
      ...found,
      gradientNorm,
      learningRate,
      ...lossScale,
      finite: Number.isFinite(found.loss) && Number.isFinite(gradientNorm),
    };
  }

  /** Steps taken, those that were not finite left out. */
  async stepCount(): Promise<number> {
    return (await this.session.read(["step"])).step![0]!;
  }

  /** Reads parameters as they are now, or their moving average, one by one; what is not trained is in both. */
  reader(which: "p" | "ema" = "p"): ReadWeight {
    const trained = new Set(this.#trained);
    return async (key) => {
      const name = trained.has(key) ? `${which}.${key}` : `p.${key}`;
      return (await this.session.read([name]))[name] as Float32Array;
    };
  }

  /** All of them at once. */
  async weights(which: "p" | "ema" = "p"): Promise<Map<string, Float32Array>> {
    const read = this.reader(which);
    const weights = new Map<string, Float32Array>();
    for (const { name } of this.#bundle.program.parameters) weights.set(name, await read(name));
    return weights;
  }

  /** Names of all that the next step depends on, between two steps; the same state and inputs, the same bits. */
  get stateNames(): readonly string[] {
    return [
      ...this.#bundle.program.parameters.map(({ name }) => `p.${name}`),
      ...this.#trained.flatMap((name) => [`m.${name}`, `v.${name}`, `ema.${name}`]),
      ...this.counterNames,
    ];
  }

  /**
   * Of these, the i32 scalars: the number of steps, and where the loss is scaled, by how much. All begin as 0. The count of batches within
   * a step is none of them: between two steps it is 0.
   */
  get counterNames(): readonly string[] {
    const { entries } = this.#bundle.program;
    const ports = trainEntries(this.#bundle).flatMap((name) => entries.find((entry) => entry.name === name)!.inputs);
    const counters = ports.filter(({ kind, dtype, name }) => kind === "state" && dtype === "i32" && name !== "accumulated");
    return [...new Set(counters.map(({ name }) => name))];
  }

  async snapshot(): Promise<Map<string, Float32Array | Int32Array>> {
    const names = this.stateNames;
    const read = await this.session.read(names);
    return new Map(names.map((name) => [name, read[name] as Float32Array | Int32Array]));
  }

  async restore(snapshot: ReadonlyMap<string, Float32Array | Int32Array>): Promise<void> {
    for (const [name, data] of snapshot) await this.session.write(name, data);
    await this.#begin();
  }

  dispose(): void {
    this.session.dispose();
  }
}
