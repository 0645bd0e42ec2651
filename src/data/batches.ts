/**
 * Batches for training: which images, in which order, mirrored or not.
 *
 * Idea: the stream of samples is one fixed sequence given by the seed, and a batch is a window of it. Sample g belongs to epoch
 * floor(g / count), whose order is a shuffle by the counter RNG. So a run that resumes, accumulates gradients or changes its batch
 * size sees the same samples, and nothing about the order has to be saved but g.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { bernoulliThreshold, drawBernoulli, drawBits, drawInt, keyOf, purposeOf } from "../program/random.js";
import type { ImageSet } from "./image-set.js";

export interface BatchOptions {
  /** Whole number, 0 .. 2^53 - 1. */
  readonly seed: number;
  /** Mirror each image left to right with probability 1/2, drawn anew each epoch. Default true. */
  readonly flip?: boolean;
  /** Shuffle each epoch. Default true; false walks the set in its own order. */
  readonly shuffle?: boolean;
}

export interface Batch {
  /** Pixels in [-1, 1], row-major [n, channels, height, width]. */
  readonly x: Float32Array<ArrayBuffer>;
  /** Classes, [n]. */
  readonly y: Int32Array<ArrayBuffer>;
  /** Place of each image in the set, [n]. */
  readonly indices: Uint32Array;
}

const ORDER = purposeOf("data.order");
const FLIP = purposeOf("data.flip");
const HALF = bernoulliThreshold(0.5);

/** The order of one epoch: a permutation of 0 .. count-1, a function of (count, seed, epoch) alone (Fisher-Yates). */
export function epochOrder(count: number, seed: number, epoch: number): Uint32Array<ArrayBuffer> {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const key = keyOf(seed, ORDER, epoch);
  for (let last = count - 1; last > 0; last--) {
    const pick = drawInt(drawBits(key, last, 0), last + 1);
    const kept = order[last]!;
    order[last] = order[pick]!;
    order[pick] = kept;
  }
  return order;
}

/**
 * The sample stream of a set. `at(first, n)` gives the samples first .. first+n-1 of the stream; the same arguments, the same bytes.
 * Errors: DIT4040 (the set is empty or its sizes disagree), DIT4041 (the window or the seed is not of whole numbers).
 */
export function batches(
  set: ImageSet,
  { seed, flip = true, shuffle = true }: BatchOptions,
): { at(first: number, n: number): Batch } {
  const { images, labels, count, channels, height, width } = set;
  const size = channels * height * width;
  if (count < 1 || images.length !== count * size || labels.length !== count) {
    fail("DIT4040", `an image set of ${count} images of ${channels} x ${height} x ${width} cannot be used`, {
      notes: [`expected ${count * size} pixels and ${count} labels, found ${images.length} and ${labels.length}`],
      help: "give at least one image, and as many labels as images",
    });
  }
  if (!Number.isSafeInteger(seed) || seed < 0)
    fail("DIT4041", `seed ${seed} is not a whole number from 0`, { help: "choose one, like 0" });
  let current = -1;
  let order = new Uint32Array(0);
  const orderOf = (epoch: number): Uint32Array<ArrayBuffer> => {
    if (epoch !== current) {
      order = shuffle ? epochOrder(count, seed, epoch) : Uint32Array.from({ length: count }, (_, i) => i);
      current = epoch;
    }
    return order;
  };
  return {
    at(first, n) {
      if (!Number.isSafeInteger(first) || first < 0 || !Number.isSafeInteger(n) || n < 1) {
        fail("DIT4041", `no batch of ${n} samples begins at sample ${first}`, {
          help: "give whole numbers: first from 0, n from 1",
        });
      }
      const x = new Float32Array(n * size);
      const y = new Int32Array(n);
      const indices = new Uint32Array(n);
      for (let k = 0; k < n; k++) {
        const epoch = Math.floor((first + k) / count);
        const index = orderOf(epoch)[(first + k) % count]!;
        const mirrored = flip && drawBernoulli(drawBits(keyOf(seed, FLIP, epoch), 0, index), HALF);
        toReal(images, index * size, x, k * size, size, width, mirrored);
        y[k] = labels[index]!;
        indices[k] = index;
      }
      return { x, y, indices };
    },
  };
}

/** Bytes to [-1, 1], one image, rows reversed where mirrored. */
function toReal(
  from: Uint8Array,
  begin: number,
  to: Float32Array,
  at: number,
  size: number,
  width: number,
  mirrored: boolean,
): void {
  for (let i = 0; i < size; i++) {
    const column = i % width;
    const source = mirrored ? i - column + (width - 1 - column) : i;
    to[at + i] = from[begin + source]! / 127.5 - 1;
  }
}
