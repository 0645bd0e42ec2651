/**
 * Sampling: labels in, images out, by the compiled schedule `sample`: one submit of noise, then one a step, nothing read back between.
 *
 * Any number of labels goes through in chunks of the batch. The noise of a sample depends on the seed and on its own number among
 * all samples (`first` + its place), so the images do not depend on how they are cut into chunks: the same bits at any batch.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { writeWeights } from "../node/weights.js";
import type { Bundle, Entry } from "../program/program.js";
import { evaluate } from "../program/size.js";
import type { Outputs } from "../runtime/inputs.js";
import { createSession, type Session, type Through } from "../runtime/session.js";
import { readerOf, type WeightSource } from "./weights.js";

export interface SampleOptions {
  readonly bundle: Bundle;
  readonly device: GPUDevice;
  /** What to sample with; the moving average of training, most often. */
  readonly weights: WeightSource;
  /** The class of each image; of a model without classes, a 0 for each. */
  readonly labels: ArrayLike<number>;
  readonly seed: number;
  /** Images at a time. Default: all, at most 64. */
  readonly batch?: number | undefined;
  /** Number of the first image in the sequence that the seed stands for. Default 0. */
  readonly first?: number | undefined;
  /** Sampling steps done, over all chunks. */
  readonly onStep?: ((done: number, total: number) => void) | undefined;
  /**
   * Every so many steps, what there is: of the images being drawn what they are heading for (x_0 as the model sees it from there), of
   * later ones zeros. Waited for at the end.
   */
  readonly preview?: { readonly every: number; readonly show: (samples: Samples) => Promise<void> } | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Runs the schedule in another way than by `repeat`: held against a reference, say; then there are no previews. */
  readonly through?: Through | undefined;
  readonly log?: ((line: string) => void) | undefined;
  /** Bytes of GPU memory that the plan may take. */
  readonly memoryLimit?: number | undefined;
}

export interface Samples {
  /** Row-major, as `shape` says; about [-1, 1] for images. */
  readonly images: Float32Array<ArrayBuffer>;
  /** [images, channels, height, width] */
  readonly shape: readonly [number, number, number, number];
}

const ENTRY = "sample";
const OUTPUT = `${ENTRY}.x`;
const HEADING_FOR = `${ENTRY}.x0`;

/** Steps that the program's sampler takes. Error: DIT4220 (it has none). */
export const samplingSteps = (bundle: Bundle): number =>
  sampleEntry(bundle).segments.reduce((most, s) => Math.max(most, s.repeat), 1);

function sampleEntry({ program }: Bundle): Entry {
  const names = program.entries.map(({ name }) => name).join(", ");
  return (
    program.entries.find(({ name }) => name === ENTRY) ??
    fail("DIT4220", `the program cannot sample: it has no entry "${ENTRY}"`, {
      notes: [`it has ${names}`],
      help: "compile a diffusion model, with draws=generated (the default) and the entry sample",
    })
  );
}

/** Errors: DIT4220 (no sampler), DIT4221 (labels, batch, seed), DIT4205 (a weight is missing), and those of the runtime. */
export async function sample(options: SampleOptions): Promise<Samples> {
  const { bundle, device, weights, labels, seed, batch = batchFor(labels.length), first = 0 } = options;
  check(bundle, labels, seed, batch, first);
  const { log, memoryLimit } = options;
  const sampler = await Sampler.create(bundle, device, { batch, log, memoryLimit });
  try {
    await sampler.use(weights);
    return await sampler.draw(options);
  } finally {
    sampler.dispose();
  }
}

const batchFor = (count: number): number => Math.max(1, Math.min(count, 64));

/** A sampler that stays on the device, for whoever draws again and again. */
export class Sampler {
  readonly #session: Session;
  readonly #bundle: Bundle;

  private constructor(session: Session, bundle: Bundle) {
    this.#session = session;
    this.#bundle = bundle;
  }

  static async create(
    bundle: Bundle,
    device: GPUDevice,
    options: Pick<SampleOptions, "log" | "memoryLimit"> & { readonly batch: number },
  ): Promise<Sampler> {
    sampleEntry(bundle);
    return new Sampler(await createSession(bundle, device, { ...options, entries: [ENTRY] }), bundle);
  }

  async use(weights: WeightSource): Promise<void> {
    await writeWeights(this.#session, readerOf(weights));
  }

  /** The images of `labels`, a batch at a time; image i is the same whatever the batch. */
  async draw(
    options: Pick<SampleOptions, "labels" | "seed" | "first" | "onStep" | "preview" | "signal" | "through">,
  ): Promise<Samples> {
    const { seed, first = 0, preview } = options;
    const { batch } = this.#session;
    check(this.#bundle, options.labels, seed, batch, first);
    if (preview && !this.#session.names.includes(HEADING_FOR)) {
      fail("DIT4220", 'the program cannot show what it is drawing: its entry "sample" has no output "x0"', {
        help: "compile it again, or draw without a preview",
      });
    }
    const labels = Int32Array.from(options.labels);
    const shape = sampleEntry(this.#bundle)
      .outputs.find(({ name }) => name === "x")!
      .shape.slice(1)
      .map((size) => evaluate(size, batch));
    const size = shape.reduce((product, n) => product * n, 1);
    const images = new Float32Array(labels.length * size);
    const samples: Samples = { images, shape: [labels.length, ...shape] as unknown as Samples["shape"] };
    const chunks = Math.ceil(labels.length / batch);
    for (let chunk = 0; chunk < chunks; chunk++) {
      const from = chunk * batch;
      // The last chunk is filled up with its own last label; those images are dropped.
      const y = Int32Array.from({ length: batch }, (_, i) => labels[Math.min(from + i, labels.length - 1)]!);
      const inputs = {
        ...{ seed: Uint32Array.of(seed), first: Int32Array.of(first + from) },
        ...(sampleEntry(this.#bundle).inputs.some(({ name }) => name === "y") ? { y } : {}),
      };
      const take = (outputs: Outputs, name: string) => {
        images.set((outputs[name] as Float32Array).subarray(0, Math.min(batch, labels.length - from) * size), from * size);
      };
      if (options.through) await options.through(this.#session, ENTRY, inputs);
      else
        await this.#session.repeat(ENTRY, inputs, {
          onStep: (done, total) => options.onStep?.(chunk * total + done, chunks * total),
          signal: options.signal,
          look: preview && {
            every: preview.every,
            names: [HEADING_FOR],
            see: (outputs) => {
              take(outputs, HEADING_FOR);
              return preview.show(samples);
            },
          },
        });
      take(await this.#session.read([OUTPUT]), OUTPUT);
    }
    return samples;
  }

  dispose(): void {
    this.#session.dispose();
  }
}

function check({ program }: Bundle, labels: ArrayLike<number>, seed: number, batch: number, first: number): void {
  const { numClasses } = program.model.config;
  const unconditional = numClasses === 0;
  const classes = unconditional ? 1 : typeof numClasses === "number" ? numClasses : 2 ** 31;
  if (labels.length === 0) fail("DIT4221", "there is no label to sample", { help: "name at least one class" });
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      fail("DIT4221", `class ${label} does not exist`, {
        help: unconditional ? "the model has none; leave the class out" : `the model has the classes 0 to ${classes - 1}`,
      });
    }
  }
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    fail("DIT4221", `seed ${seed} is not a whole number from 0 to ${2 ** 32 - 1}`);
  }
  if (!Number.isSafeInteger(batch) || batch < 1) fail("DIT4221", `batch is ${batch}, expected a whole number from 1`);
  if (!Number.isInteger(first) || first < 0 || first + labels.length > 2 ** 31 - 1) {
    fail("DIT4221", `images ${first} to ${first + labels.length} are beyond what a seed stands for`, {
      help: "choose another seed",
    });
  }
}
