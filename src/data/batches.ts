/**
 * Batches for training: which images, in which order, loaded ahead of the device.
 *
 * Idea: the stream of samples is one fixed sequence given by the seed, and a batch is a window of it. Sample g belongs to epoch
 * floor(g / count), whose order is a shuffle by the counter RNG. So a run that resumes, accumulates gradients or changes its batch
 * size sees the same samples, and nothing about the order has to be saved but g. Whoever takes a window will want the next ones of the
 * same size: they are begun at once, so that images are decoded while the device computes. Reading ahead changes no batch.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { drawBits, drawInt, keyOf, purposeOf } from "../program/random.js";
import type { ImageSource } from "./source.js";

export interface StreamOptions {
  /** Whole number, 0 .. 2^53 - 1. */
  readonly seed: number;
  /** Shuffle each epoch. Default true; false walks the set in its own order. */
  readonly shuffle?: boolean;
  /** Bytes of batches that may be loaded before they are asked for; 0: nothing is. Default 64 MiB, and never more than 8 batches. */
  readonly ahead?: number;
}

export interface Batch {
  /** Values, row-major [n, channels, height, width]: pixels in [-1, 1]. */
  readonly x: Float32Array<ArrayBuffer>;
  /** Classes, [n]. */
  readonly y: Int32Array<ArrayBuffer>;
  /** Place of each image in the set, [n]. */
  readonly indices: Uint32Array<ArrayBuffer>;
}

const ORDER = purposeOf("data.order");
const MOST_AHEAD = 8;

/** The order of one epoch: a permutation of 0 .. count-1, a function of (count, seed, epoch) alone (Fisher-Yates). */
export function epochOrder(count: number, seed: number, epoch: number): Uint32Array<ArrayBuffer> {
  const order = inOrder(count);
  const key = keyOf(seed, ORDER, epoch);
  for (let last = count - 1; last > 0; last--) {
    const pick = drawInt(drawBits(key, last, 0), last + 1);
    const kept = order[last]!;
    order[last] = order[pick]!;
    order[pick] = kept;
  }
  return order;
}

const inOrder = (count: number): Uint32Array<ArrayBuffer> => Uint32Array.from({ length: count }, (_, i) => i);

/** The sample stream of a source. Error: DIT4041 (the seed is not a whole number). */
export function stream(source: ImageSource, options: StreamOptions): SampleStream {
  return new SampleStream(source, options);
}

export class SampleStream {
  readonly #source: ImageSource;
  readonly #seed: number;
  readonly #shuffle: boolean;
  readonly #ahead: number;
  /** Windows that are being loaded, by their first sample; all have the size that was asked for last. */
  #begun = new Map<number, Promise<Batch>>();
  #size = 0;
  /** The orders of this epoch and of the one that reading ahead has reached. */
  readonly #orders = new Map<number, Uint32Array>();
  #waited = 0;

  constructor(source: ImageSource, { seed, shuffle = true, ahead = 2 ** 26 }: StreamOptions) {
    if (!Number.isSafeInteger(seed) || seed < 0)
      fail("DIT4041", `seed ${seed} is not a whole number from 0`, { help: "choose one, like 0" });
    this.#source = source;
    this.#seed = seed;
    this.#shuffle = shuffle;
    this.#ahead = ahead;
  }

  /** Seconds that callers of `at` waited for their batches, all in all. */
  get waited(): number {
    return this.#waited;
  }

  /**
   * The samples first .. first+n-1 of the stream; the same arguments, the same bytes. Errors: DIT4041 (the window is not of whole
   * numbers), and those of the source: an image that was read ahead and is broken is an error of the batch that it belongs to.
   */
  async at(first: number, n: number): Promise<Batch> {
    if (!Number.isSafeInteger(first) || first < 0 || !Number.isSafeInteger(n) || n < 1) {
      fail("DIT4041", `no batch of ${n} samples begins at sample ${first}`, {
        help: "give whole numbers: first from 0, n from 1",
      });
    }
    const begin = performance.now();
    this.#resize(n);
    const batch = this.#begun.get(first) ?? this.#load(first, n);
    this.#readAhead(first, n);
    try {
      return await batch;
    } finally {
      this.#waited += (performance.now() - begin) / 1000;
    }
  }

  /** Begins to load the windows from this one on, for a caller who has other things to do first. */
  begin(first: number, n: number): void {
    this.#resize(n);
    this.#readAhead(first - n, n);
  }

  #resize(n: number): void {
    if (n !== this.#size) this.#begun.clear();
    this.#size = n;
  }

  /** Begins the windows after this one, and forgets all others. */
  #readAhead(first: number, n: number): void {
    const { channels, height, width } = this.#source;
    const windows = Math.min(MOST_AHEAD, Math.floor(this.#ahead / (4 * n * channels * height * width)));
    const next = new Map<number, Promise<Batch>>();
    for (let k = 1; k <= windows; k++) {
      const at = first + k * n;
      const batch = this.#begun.get(at) ?? this.#load(at, n);
      // Its error is for whoever asks for this batch, if anyone does.
      batch.catch(() => {});
      next.set(at, batch);
    }
    this.#begun = next;
  }

  async #load(first: number, n: number): Promise<Batch> {
    const { count, labels } = this.#source;
    const indices = Uint32Array.from({ length: n }, (_, k) => {
      const sample = first + k;
      return this.#orderOf(Math.floor(sample / count))[sample % count]!;
    });
    const y = Int32Array.from(indices, (index) => labels[index]!);
    return { x: await this.#source.load(indices), y, indices };
  }

  #orderOf(epoch: number): Uint32Array {
    const known = this.#orders.get(epoch);
    if (known) return known;
    const { count } = this.#source;
    // A permutation of a large set is some megabytes, and takes longer than a batch: two are kept.
    if (this.#orders.size > 1) this.#orders.delete(this.#orders.keys().next().value!);
    const order = this.#shuffle ? epochOrder(count, this.#seed, epoch) : inOrder(count);
    this.#orders.set(epoch, order);
    return order;
  }
}
