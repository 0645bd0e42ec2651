/**
 * The state of a training run on a device: weights, both moments, their average and the step counter, moved on by the entry
 * `train_step`. A step is one submit and reads nothing back; what the host wants to know it asks for, and only then waits.
 */
import { fail } from "../diagnostics/diagnostic.js";
import type { Bundle, Entry, Port } from "../program/program.js";
import type { Inputs } from "../runtime/inputs.js";
import { createSession, type Session } from "../runtime/session.js";
import { freshWeights, type Weights } from "./weights.js";

export interface TrainerOptions {
  readonly batch: number;
  /** For fresh weights; the draws of a step have a seed of their own, among its inputs. */
  readonly seed: number;
  /** Start from these instead. */
  readonly weights?: Weights | undefined;
  /** Entries to have beside train_step, on the same weights. */
  readonly entries?: readonly string[] | undefined;
  readonly log?: ((line: string) => void) | undefined;
}

export interface Losses {
  readonly loss: number;
  readonly mse?: number;
  readonly vb?: number;
  readonly gradientNorm: number;
  readonly learningRate?: number;
}

const ENTRY = "train_step";

/** The entry that trains. Error: DIT4210. */
export function trainEntry({ program }: Bundle): Entry {
  const names = program.entries.map(({ name }) => name);
  const help = "compile a model that has an objective, with the entry train_step";
  return (
    program.entries.find(({ name }) => name === ENTRY) ??
    fail("DIT4210", `the program cannot be trained: it has no entry "${ENTRY}"`, { notes: [`it has ${names.join(", ")}`], help })
  );
}

export class Trainer {
  readonly session: Session;
  readonly #bundle: Bundle;
  /** Parameters that a step changes: those with moments. */
  readonly #trained: readonly string[];

  private constructor(session: Session, bundle: Bundle) {
    this.session = session;
    this.#bundle = bundle;
    const known = new Set(session.names);
    this.#trained = bundle.program.parameters.map(({ name }) => name).filter((name) => known.has(`m.${name}`));
  }

  static async create(bundle: Bundle, device: GPUDevice, options: TrainerOptions): Promise<Trainer> {
    trainEntry(bundle);
    const { batch, seed, entries = [], log } = options;
    const session = await createSession(bundle, device, { batch, entries: [ENTRY, ...entries], log });
    try {
      const trainer = new Trainer(session, bundle);
      await trainer.reset(options.weights ?? freshWeights(bundle, seed));
      return trainer;
    } catch (error) {
      session.dispose();
      throw error;
    }
  }

  /** The inputs that a step wants of its caller. */
  get inputs(): readonly Port[] {
    return trainEntry(this.#bundle).inputs.filter(({ kind }) => kind === "input");
  }

  /** The state before the first step: these weights, their average a copy of them, and nothing learned. */
  async reset(weights: Weights): Promise<void> {
    const { session } = this;
    for (const { name } of this.#bundle.program.parameters) {
      const data = weights.get(name) ?? fail("DIT4205", `there is no weight "${name}" to begin with`);
      await session.write(`p.${name}`, data);
    }
    for (const name of this.#trained) {
      const data = weights.get(name)!;
      const zeros = new Float32Array(data.length);
      await session.write(`m.${name}`, zeros);
      await session.write(`v.${name}`, zeros);
      await session.write(`ema.${name}`, data);
    }
    await session.write("step", Int32Array.of(0));
  }

  /** Batches that one step takes. */
  get accumulate(): number {
    return 1;
  }

  /** Submits one step; resolves when it is on its way. */
  step(inputs: Inputs | readonly Inputs[]): Promise<void> {
    return this.session.submit(ENTRY, (Array.isArray(inputs) ? inputs[0]! : inputs) as Inputs);
  }

  /** What the last step found; waits for it. */
  async losses(): Promise<Losses> {
    const names = [`${ENTRY}.loss`, `${ENTRY}.gradient_norm`];
    const read = await this.session.read(names);
    return { loss: read[names[0]!]![0]!, gradientNorm: read[names[1]!]![0]! };
  }

  /** Steps done, those that were not finite included. */
  async stepCount(): Promise<number> {
    return (await this.session.read(["step"])).step![0]!;
  }

  /** All parameters as they are now, or their moving average; what is not trained is in both. */
  async weights(which: "p" | "ema" = "p"): Promise<Map<string, Float32Array>> {
    const trained = new Set(this.#trained);
    const names = this.#bundle.program.parameters.map(({ name }) => name);
    const keys = names.map((name) => (trained.has(name) ? `${which}.${name}` : `p.${name}`));
    const read = await this.session.read(keys);
    return new Map(names.map((name, i) => [name, read[keys[i]!] as Float32Array]));
  }

  /** Names of all that the next step depends on, between two steps; the same state and inputs, the same bits. */
  get stateNames(): readonly string[] {
    return [
      ...this.#bundle.program.parameters.map(({ name }) => `p.${name}`),
      ...this.#trained.flatMap((name) => [`m.${name}`, `v.${name}`, `ema.${name}`]),
      "step",
    ];
  }

  async snapshot(): Promise<Map<string, Float32Array | Int32Array>> {
    const names = this.stateNames;
    const read = await this.session.read(names);
    return new Map(names.map((name) => [name, read[name] as Float32Array | Int32Array]));
  }

  async restore(snapshot: ReadonlyMap<string, Float32Array | Int32Array>): Promise<void> {
    for (const [name, data] of snapshot) await this.session.write(name, data);
  }

  dispose(): void {
    this.session.dispose();
  }
}
