/** Measures of pictures: on made-up sets against the plain definition, and on Fashion-MNIST for what they must tell apart. */
import { beforeAll, describe, expect, test } from "vitest";
import { type FashionMnist, fetchFashionMnist } from "../../src/data/fashion-mnist.js";
import type { ImageSet } from "../../src/data/image-set.js";
import { drawBits, drawInt, keyOf } from "../../src/program/random.js";
import { accuracy, distinctShare, measure, median, spread, winner, withinClasses } from "../../src/trainer/measure.js";
import { NeighbourSearch } from "../../src/trainer/neighbours.js";

const random = (seed: number) => {
  const key = keyOf(seed, 0, 0);
  let at = 0;
  return (below: number) => drawInt(drawBits(key, at++, 0), below);
};

function imageSet(count: number, [channels, height, width]: readonly [number, number, number], levels = 256): ImageSet {
  const draw = random(count);
  const images = Uint8Array.from({ length: count * channels * height * width }, () => (draw(levels) * 255) / (levels - 1));
  return {
    images,
    labels: Uint8Array.from({ length: count }, (_, i) => i % 3),
    count,
    channels,
    height,
    width,
    classes: ["a", "b", "c"],
  };
}

/** By the definition: all distances, sorted. */
function plainly(pixels: Float32Array, set: ImageSet, k: number) {
  const size = set.channels * set.height * set.width;
  return Array.from({ length: pixels.length / size }, (_, i) =>
    Array.from({ length: set.count }, (_, place) => {
      let square = 0;
      for (let p = 0; p < size; p++) square += (pixels[i * size + p]! - (set.images[place * size + p]! / 127.5 - 1)) ** 2;
      return { place, distance: Math.sqrt(square) };
    })
      .sort((a, b) => a.distance - b.distance || a.place - b.place)
      .slice(0, k),
  );
}

describe("nearest neighbours", () => {
  // Sides that no block divides, several channels, and sides below a block.
  test.each([
    [1, 7, 9],
    [3, 8, 6],
    [1, 2, 1],
  ] as const)("are those of the definition, for images of %i x %i x %i", (...shape) => {
    const set = imageSet(400, shape);
    const draw = random(1);
    const pixels = Float32Array.from({ length: 12 * shape[0] * shape[1] * shape[2] }, () => draw(2001) / 1000 - 1);
    const { places, distances } = new NeighbourSearch(set).find(pixels, 5);
    plainly(pixels, set, 5).forEach((expected, i) => {
      expect([...places.subarray(5 * i, 5 * i + 5)]).toEqual(expected.map(({ place }) => place));
      expected.forEach(({ distance }, j) => {
        expect(distances[5 * i + j]).toBeCloseTo(distance, 5);
      });
    });
  });

  test("of many images equally far the first ones are taken", () => {
    const set = imageSet(200, [1, 4, 4], 1 + 1);
    const same: ImageSet = { ...set, images: new Uint8Array(200 * 16) };
    const { places, distances } = new NeighbourSearch(same).find(new Float32Array(16).fill(-1), 5);
    expect([...places]).toEqual([0, 1, 2, 3, 4]);
    expect([...distances]).toEqual([0, 0, 0, 0, 0]);
  });

  test("a picture that is not finite has none, and gets no class", () => {
    const set = imageSet(50, [1, 4, 4]);
    const found = new NeighbourSearch(set).find(new Float32Array(16).fill(Number.NaN), 2);
    expect([...found.places]).toEqual([-1, -1]);
    expect([...found.distances]).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
    expect(accuracy(found, [0], set)).toBe(0);
  });
});

test("a vote goes to the majority, and of a tie to the nearest", () => {
  expect(winner([3, 1, 1, 2, 1])).toBe(1);
  expect(winner([3, 1, 1, 3, 2])).toBe(3);
  expect(winner([5, 4, 3, 2, 1])).toBe(5);
  expect(winner([2, 1, 1, 3, 3])).toBe(1);
});

test("distances within a class: the median of each, and of those the median; a lone picture says nothing", () => {
  // Points on a line: class 0 at 0, 1, 3 (distances 1, 2, 3), class 1 at 0 and 10, class 2 alone.
  const pixels = Float32Array.of(0, 0, 1, 10, 3, 7);
  expect(withinClasses({ pixels, labels: [0, 1, 0, 1, 0, 2] })).toBe((2 + 10) / 2);
  expect(withinClasses({ pixels: Float32Array.of(1, 2), labels: [0, 1] })).toBeNaN();
});

test("copies of one picture count once", () => {
  const pixels = Float32Array.of(0, 5, 0.4, 5.4, 10, 0.8);
  const labels = [0, 0, 0, 0, 0, 0];
  // 0.4 is near 0, 5.4 near 5; 0.8 is near 0.4 alone, which was dropped.
  expect(distinctShare({ pixels, labels }, 0.5)).toBeCloseTo(4 / 6, 12);
  expect(distinctShare({ pixels: Float32Array.of(Number.NaN, 1), labels: [0, 0] }, 0.5)).toBe(0.5);
  expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([]), median([1, Number.NaN])]).toEqual([
    2,
    2.5,
    Number.NaN,
    Number.NaN,
  ]);
});

describe("on Fashion-MNIST", () => {
  let data: FashionMnist;
  beforeAll(async () => {
    const { train, test: held, ...rest } = await fetchFashionMnist({ download: true });
    // A third of the training images is enough to tell things apart, and quicker.
    const third = {
      ...train,
      images: train.images.subarray(0, 20_000 * 784),
      labels: train.labels.subarray(0, 20_000),
      count: 20_000,
    };
    data = { ...rest, train: third, test: held };
  }, 120_000);

  test("real images that were held out are as good as real ones", () => {
    const { images, labels, ...rest } = data.test;
    const others = { ...rest, images: images.subarray(5000 * 784), labels: labels.subarray(5000), count: 5000 };
    const { accuracy: right, nearest, within, distinct } = measure(spread(others, 100), data);
    // Neighbours get 85 % of this set right; the bounds are about three standard errors of 300 and of 100 pictures below.
    expect(right.real).toBeGreaterThan(0.79);
    expect(right.samples).toBeGreaterThan(0.74);
    for (const { samples, real } of [nearest, within]) {
      expect(samples / real).toBeGreaterThan(0.8);
      expect(samples / real).toBeLessThan(1.25);
    }
    expect(distinct).toEqual({ samples: 1, real: 1 });
  });

  test("copies of training images are much nearer, and the same one again is not distinct", () => {
    const copies = spread(data.train, 50);
    const twice = {
      pixels: Float32Array.from([...copies.pixels, ...copies.pixels]),
      labels: [...Array.from(copies.labels), ...Array.from(copies.labels)],
    };
    const { nearest, distinct, accuracy: right } = measure(twice, data);
    expect(nearest.samples).toBeLessThan(1e-3);
    expect(nearest.real).toBeGreaterThan(5);
    expect(distinct.samples).toBe(0.5);
    expect(right.samples).toBeGreaterThan(0.8);
  });

  test("means of the classes get their class, and are alike within it", () => {
    const [sums, counts] = [Array.from({ length: 10 }, () => new Float64Array(784)), new Float64Array(10)];
    const { images, labels, count } = data.train;
    for (let i = 0; i < count; i++) {
      counts[labels[i]!]!++;
      const sum = sums[labels[i]!]!;
      for (let k = 0; k < 784; k++) sum[k]! += images[i * 784 + k]! / 127.5 - 1;
    }
    const draw = random(3);
    const wanted = Array.from({ length: 40 }, (_, i) => i % 10);
    const pixels = Float32Array.from(
      wanted.flatMap((c) => Array.from(sums[c]!, (sum) => sum / counts[c]! + draw(1000) / 10_000)),
    );
    const { accuracy: right, within, distinct } = measure({ pixels, labels: wanted }, data);
    // By their accuracy alone they would pass as what the demo must draw; by their distances they do not.
    expect(right.samples).toBeGreaterThan(0.6);
    expect(within.samples).toBeLessThan(within.real / 2);
    expect(distinct.samples).toBeLessThan(0.3);
  });
});
