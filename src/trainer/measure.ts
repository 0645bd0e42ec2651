/**
 * Two numbers that say whether training worked, on images it has not seen.
 *
 * The held-out error: how much of the noise in fixed noisy images the model does not find; timesteps and noise are fixed, so two models
 * are asked the same. The distance to what is real: how far a picture is from the nearest real one, which clouds of noise with the right
 * mean and variance in every pixel bound from above. Neither says that a picture is beautiful.
 */
import type { ImageSet } from "../data/image-set.js";
import { drawBits, drawInt, drawNormal, keyOf, normalTable, purposeOf } from "../program/random.js";
import type { Session } from "../runtime/session.js";
import type { Weights } from "./weights.js";

/** A fixed question to a denoiser: inputs of the entry `loss_and_grad`, batch by batch. */
export interface HeldOut {
  readonly batches: readonly {
    readonly x_start: Float32Array;
    readonly t: Int32Array;
    readonly y: Int32Array;
    readonly noise: Float32Array;
  }[];
}

/** Images spread evenly over a set, timesteps spread evenly over 0..999, noise by the counter RNG. */
export function heldOut(set: ImageSet, batch: number, count: number, seed: number): HeldOut {
  const size = sizeOf(set);
  const table = normalTable();
  const key = keyOf(seed, purposeOf("measure.noise"), 0);
  const shift = drawInt(drawBits(keyOf(seed, purposeOf("measure.t"), 0), 0, 0), 1000);
  return {
    batches: Array.from({ length: count }, (_, b) => {
      const numbers = Array.from({ length: batch }, (_, i) => b * batch + i);
      const places = numbers.map((n) => Math.floor((n * set.count) / (count * batch)));
      const x_start = new Float32Array(batch * size);
      const noise = new Float32Array(batch * size);
      places.forEach((place, i) => {
        for (let k = 0; k < size; k++) {
          x_start[i * size + k] = toReal(set.images[place * size + k]!);
          noise[i * size + k] = drawNormal(drawBits(key, k, numbers[i]!), table);
        }
      });
      // A stride that shares no factor with 1000 visits all parts of the process, in each class alike.
      const t = Int32Array.from(numbers, (n) => (shift + n * 377) % 1000);
      return { x_start, t, y: Int32Array.from(places, (place) => set.labels[place]!), noise };
    }),
  };
}

/** Mean squared error of the predicted noise. The session has the entry loss_and_grad and the asked batch; its weights are replaced. */
export async function heldOutError(session: Session, question: HeldOut, weights: Weights): Promise<number> {
  for (const [name, data] of weights) await session.write(`p.${name}`, data);
  let sum = 0;
  let count = 0;
  for (const inputs of question.batches) {
    await session.submit("loss_and_grad", { ...inputs });
    const name = "loss_and_grad.mse";
    for (const x of (await session.read([name]))[name]!) {
      sum += x;
      count++;
    }
  }
  return sum / count;
}

/** Mean over the pictures of the Euclidean distance to the nearest image of the set, pixels in [-1, 1]. */
export function nearestDistance(pictures: Float32Array, set: ImageSet): number {
  const size = sizeOf(set);
  const real = Float32Array.from(set.images, toReal);
  const count = pictures.length / size;
  let sum = 0;
  for (let i = 0; i < count; i++) {
    let nearest = Number.POSITIVE_INFINITY;
    for (let j = 0; j < set.count; j++) {
      let square = 0;
      // Most images are far: giving up early saves most of the work.
      for (let k = 0; k < size && square < nearest; ) {
        for (const end = Math.min(size, k + 56); k < end; k++) {
          const d = pictures[i * size + k]! - real[j * size + k]!;
          square += d * d;
        }
      }
      if (square < nearest) nearest = square;
    }
    sum += Math.sqrt(nearest);
  }
  return sum / count;
}

/** Noise with the set's own mean and variance in every pixel: what nearest distances are held against. */
export function noiseLike(set: ImageSet, count: number, seed: number): Float32Array<ArrayBuffer> {
  const size = sizeOf(set);
  const [sum, squares] = [new Float64Array(size), new Float64Array(size)];
  for (let i = 0; i < set.count * size; i++) {
    const x = toReal(set.images[i]!);
    sum[i % size]! += x;
    squares[i % size]! += x * x;
  }
  const table = normalTable();
  const key = keyOf(seed, purposeOf("measure.cloud"), 0);
  return Float32Array.from({ length: count * size }, (_, i) => {
    const [pixel, picture] = [i % size, Math.floor(i / size)];
    const mean = sum[pixel]! / set.count;
    const variance = Math.max(0, squares[pixel]! / set.count - mean * mean);
    return mean + Math.sqrt(variance) * drawNormal(drawBits(key, pixel, picture), table);
  });
}

const sizeOf = ({ channels, height, width }: ImageSet): number => channels * height * width;
const toReal = (byte: number): number => byte / 127.5 - 1;
