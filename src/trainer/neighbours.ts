/**
 * The nearest images of a set to given pictures, exactly and quickly enough for all of a training set.
 *
 * Two things spare most of the work. A difference of sums bounds a distance from below: of n pixels whose differences add up to s, the
 * squares add up to s²/n at least, so sums over small blocks of pixels rule out nearly every image with a twentieth of the arithmetic.
 * What is left is given up as soon as it is farther than what is wanted. Bytes are compared as they are, without a copy as floats:
 * a picture's pixels are scaled to 0..255 instead.
 */
import type { ImageSet } from "../data/image-set.js";

/** Of each picture the k nearest images, the nearest first; of images equally far the first ones. */
export interface Neighbours {
  readonly k: number;
  /** Places in the set, [pictures, k]; -1 where there is none, for pictures that are not finite. */
  readonly places: Int32Array;
  /** Euclidean, for pixels in [-1, 1], [pictures, k]; infinite where there is none. */
  readonly distances: Float64Array;
}

const BLOCK = 4;
/** A byte is 127.5 (x + 1) for a pixel x in [-1, 1]. */
const HALF = 127.5;
/** Sums are kept in f32: a bound may be too high by rounding. */
const ROUNDING = 1 - 1e-5;

export class NeighbourSearch {
  readonly #set: ImageSet;
  readonly #size: number;
  /** Block of each pixel, and what a block's sum is divided by: the root of its number of pixels. */
  readonly #blockOf: Uint32Array;
  readonly #roots: Float64Array;
  /** Of each image, [count, blocks]. */
  readonly #sums: Float32Array;

  constructor(set: ImageSet) {
    const { channels, height, width } = set;
    this.#set = set;
    this.#size = channels * height * width;
    const [down, across] = [Math.ceil(height / BLOCK), Math.ceil(width / BLOCK)];
    this.#blockOf = Uint32Array.from({ length: this.#size }, (_, i) => {
      const [channel, row, column] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
      return (channel * down + Math.floor(row / BLOCK)) * across + Math.floor(column / BLOCK);
    });
    this.#roots = new Float64Array(channels * down * across);
    for (const block of this.#blockOf) this.#roots[block]!++;
    this.#roots.forEach((n, block) => {
      this.#roots[block] = Math.sqrt(n);
    });
    this.#sums = new Float32Array(set.count * this.#roots.length);
    for (let image = 0; image < set.count; image++) this.#sumBlocks(set.images, image, this.#sums, image);
  }

  /** `pixels`: [pictures, channels, height, width] in about [-1, 1]. */
  find(pixels: Float32Array, k: number): Neighbours {
    const count = pixels.length / this.#size;
    const places = new Int32Array(count * k).fill(-1);
    const distances = new Float64Array(count * k).fill(Number.POSITIVE_INFINITY);
    const scaled = Float32Array.from(pixels, (x) => HALF * (x + 1));
    for (let i = 0; i < count; i++) {
      this.#findOne(scaled.subarray(i * this.#size, (i + 1) * this.#size), new Nearest(k, i * k, places, distances));
    }
    for (let i = 0; i < distances.length; i++) distances[i] = Math.sqrt(distances[i]!) / HALF;
    return { k, places, distances };
  }

  #findOne(picture: Float32Array, nearest: Nearest): void {
    const bounds = this.#bounds(picture);
    // The k with the lowest bounds are near, most often: none that is farther than the farthest of them is among the k nearest.
    const guess = new Nearest(
      nearest.k,
      0,
      new Int32Array(nearest.k),
      new Float64Array(nearest.k).fill(Number.POSITIVE_INFINITY),
    );
    for (let image = 0; image < bounds.length; image++) if (bounds[image]! < guess.farthest) guess.insert(image, bounds[image]!);
    let limit = 0;
    for (const image of guess.found) limit = Math.max(limit, this.#square(picture, image, Number.POSITIVE_INFINITY));
    for (let image = 0; image < bounds.length; image++) {
      if (bounds[image]! > limit) continue;
      const square = this.#square(picture, image, limit);
      if (square <= limit && square < nearest.farthest) {
        nearest.insert(image, square);
        limit = Math.min(limit, nearest.farthest);
      }
    }
  }

  /** Squared distances to all images are at least these. */
  #bounds(picture: Float32Array): Float32Array {
    const blocks = this.#roots.length;
    const own = new Float32Array(blocks);
    this.#sumBlocks(picture, 0, own, 0);
    const sums = this.#sums;
    const bounds = new Float32Array(this.#set.count);
    for (let image = 0, at = 0; image < bounds.length; image++) {
      let square = 0;
      for (let block = 0; block < blocks; block++, at++) {
        const d = own[block]! - sums[at]!;
        square += d * d;
      }
      bounds[image] = square * ROUNDING;
    }
    return bounds;
  }

  /** The squared distance, or anything above `limit` where it is above it. */
  #square(picture: Float32Array, image: number, limit: number): number {
    const [size, images] = [this.#size, this.#set.images];
    const base = image * size;
    let square = 0;
    for (let k = 0; k < size && square <= limit; ) {
      for (const end = Math.min(size, k + 56); k < end; k++) {
        const d = picture[k]! - images[base + k]!;
        square += d * d;
      }
    }
    return square;
  }

  #sumBlocks(pixels: Float32Array | Uint8Array, image: number, out: Float32Array, place: number): void {
    const [size, blockOf, blocks] = [this.#size, this.#blockOf, this.#roots.length];
    for (let k = 0; k < size; k++) out[place * blocks + blockOf[k]!]! += pixels[image * size + k]!;
    for (let block = 0; block < blocks; block++) out[place * blocks + block]! /= this.#roots[block]!;
  }
}

/** The k least of what is inserted, sorted, in a part of two arrays. */
class Nearest {
  readonly k: number;
  readonly #at: number;
  readonly #places: Int32Array;
  readonly #squares: Float64Array;

  constructor(k: number, at: number, places: Int32Array, squares: Float64Array) {
    this.k = k;
    this.#at = at;
    this.#places = places;
    this.#squares = squares;
  }

  get farthest(): number {
    return this.#squares[this.#at + this.k - 1]!;
  }

  get found(): Int32Array {
    return this.#places.subarray(this.#at, this.#at + this.k);
  }

  /** Of something nearer than the farthest, which is dropped. */
  insert(place: number, square: number): void {
    let i = this.#at + this.k - 1;
    for (; i > this.#at && this.#squares[i - 1]! > square; i--) {
      this.#squares[i] = this.#squares[i - 1]!;
      this.#places[i] = this.#places[i - 1]!;
    }
    this.#squares[i] = square;
    this.#places[i] = place;
  }
}
