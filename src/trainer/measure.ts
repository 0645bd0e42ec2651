/**
 * Numbers that say what pictures drawn by class are worth, held against real images that were not trained on.
 *
 * Each catches what the others let pass. The accuracy of a vote among neighbours: are they what they were asked to be? Distances to the
 * nearest training image: much smaller than those of real images, and the pictures are copies. Distances within a class: much smaller
 * than real ones, and they are blurred means. The share of distinct ones: low, and the model draws a few pictures again and again.
 */
import type { ImageSet } from "../data/image-set.js";
import { NeighbourSearch, type Neighbours } from "./neighbours.js";

/** Pictures and the classes that they should show. */
export interface Pictures {
  /** [pictures, channels, height, width] in about [-1, 1]. */
  readonly pixels: Float32Array;
  readonly labels: ArrayLike<number>;
}

export interface Measures {
  /** Share of the pictures whose class wins the vote of their nearest training images. */
  readonly accuracy: Pair;
  /** Median distance to the nearest training image. */
  readonly nearest: Pair;
  /** Median over the classes of the median distance between two pictures of a class. */
  readonly within: Pair;
  /** Share of the pictures that are not the same picture again. */
  readonly distinct: Pair;
}

/** Of the samples, and of real test images. */
export interface Pair {
  readonly samples: number;
  readonly real: number;
}

const VOTERS = 5;
/** Enough for an accuracy that is right to two points. */
const REAL_PICTURES = 300;

/** All of them, for samples of a model that was trained on `train`. */
export function measure(samples: Pictures, { train, test }: { readonly train: ImageSet; readonly test: ImageSet }): Measures {
  const search = new NeighbourSearch(train);
  const real = spread(test, REAL_PICTURES);
  const found = { samples: search.find(samples.pixels, VOTERS), real: search.find(real.pixels, VOTERS) };
  const nearest = { samples: nearestMedian(found.samples), real: nearestMedian(found.real) };
  const both = (value: (pictures: Pictures) => number): Pair => ({ samples: value(samples), real: value(real) });
  return {
    accuracy: { samples: accuracy(found.samples, samples.labels, train), real: accuracy(found.real, real.labels, train) },
    nearest,
    within: both(withinClasses),
    distinct: both((pictures) => distinctShare(pictures, nearest.real / 2)),
  };
}

/** So many images of a set, evenly spread over it. */
export function spread(set: ImageSet, most: number): Pictures {
  const size = set.channels * set.height * set.width;
  const count = Math.min(most, set.count);
  const places = Array.from({ length: count }, (_, i) => Math.floor((i * set.count) / count));
  const pixels = new Float32Array(count * size);
  places.forEach((place, i) => {
    for (let k = 0; k < size; k++) pixels[i * size + k] = set.images[place * size + k]! / 127.5 - 1;
  });
  return { pixels, labels: places.map((place) => set.labels[place]!) };
}

/** Share of pictures whose neighbours vote for their label. */
export function accuracy({ k, places }: Neighbours, labels: ArrayLike<number>, set: ImageSet): number {
  let right = 0;
  for (let i = 0; i < labels.length; i++) {
    const classes = Array.from(places.subarray(i * k, (i + 1) * k), (place) => set.labels[place] ?? -1);
    if (winner(classes) === labels[i]) right++;
  }
  return right / labels.length;
}

/** The most frequent class; of those equally frequent the one whose first voter comes first, which is the nearest. */
export function winner(classes: readonly number[]): number {
  const votes = (c: number) => classes.filter((other) => other === c).length;
  const most = Math.max(...classes.map(votes));
  return classes.find((c) => votes(c) === most)!;
}

const nearestMedian = ({ k, distances }: Neighbours): number => median(Array.from(distances).filter((_, i) => i % k === 0));

/** Median over the classes of the median distance between two pictures of a class; classes with one picture say nothing. */
export function withinClasses({ pixels, labels }: Pictures): number {
  const size = pixels.length / labels.length;
  const byClass = new Map<number, number[]>();
  for (let i = 0; i < labels.length; i++) byClass.set(labels[i]!, [...(byClass.get(labels[i]!) ?? []), i]);
  const medians = [...byClass.values()]
    .filter((members) => members.length > 1)
    .map((members) => median(members.flatMap((a, i) => members.slice(i + 1).map((b) => distance(pixels, size, a, b)))));
  return median(medians);
}

/**
 * Share of the pictures that remain when, one after the other, each is dropped that lies within `radius` of one that was kept: many
 * copies of one picture count once. The radius that measure() takes is half the median distance of a real image that was held out to the
 * nearest of all training images: two garments that are photographed apart are hardly ever so near, and noise on a copy is nearer.
 */
export function distinctShare({ pixels, labels }: Pictures, radius: number): number {
  const size = pixels.length / labels.length;
  const kept: number[] = [];
  // Written so that what is not finite is not kept.
  for (let i = 0; i < labels.length; i++) {
    if (Number.isFinite(distance(pixels, size, i, i)) && kept.every((j) => distance(pixels, size, i, j) >= radius)) kept.push(i);
  }
  return kept.length / labels.length;
}

function distance(pixels: Float32Array, size: number, a: number, b: number): number {
  let square = 0;
  for (let k = 0; k < size; k++) {
    const d = pixels[a * size + k]! - pixels[b * size + k]!;
    square += d * d;
  }
  return Math.sqrt(square);
}

/** NaN of nothing, and of what holds a NaN. */
export function median(values: readonly number[]): number {
  if (values.length === 0 || values.some(Number.isNaN)) return Number.NaN;
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
