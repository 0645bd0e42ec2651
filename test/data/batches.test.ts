import { expect, test } from "vitest";
import { batches, epochOrder } from "../../src/data/batches.js";
import type { ImageSet } from "../../src/data/image-set.js";

/** n images of 2 channels, 2 x 3; every pixel says where it comes from. */
const set = (count: number): ImageSet => ({
  images: Uint8Array.from({ length: count * 12 }, (_, i) => i % 256),
  labels: Uint8Array.from({ length: count }, (_, i) => i % 10),
  count,
  channels: 2,
  height: 2,
  width: 3,
  classes: [],
});

test("an epoch is a permutation, another one each time, the same for the same seed", () => {
  const order = epochOrder(1000, 5, 2);
  expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  expect(epochOrder(1000, 5, 2)).toEqual(order);
  expect(epochOrder(1000, 5, 3)).not.toEqual(order);
  expect(epochOrder(1000, 6, 2)).not.toEqual(order);
});

test("shuffles are fair: every element visits every place equally often", () => {
  const counts = new Float64Array(25);
  for (let epoch = 0; epoch < 5000; epoch++)
    for (const [place, value] of epochOrder(5, 0, epoch).entries()) counts[value * 5 + place]! += 1;
  // Expected 1000 each, standard deviation 28.
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(5 * 28.3);
});

test("the stream does not depend on how it is cut into batches", () => {
  const stream = batches(set(20), { seed: 1 });
  const whole = stream.at(0, 60);
  const parts = [stream.at(50, 10), stream.at(0, 7), stream.at(7, 43)];
  const join = (pick: (part: (typeof parts)[number]) => Iterable<number>): number[] =>
    [1, 2, 0].flatMap((k) => [...pick(parts[k]!)]);
  expect(join((part) => part.x)).toEqual([...whole.x]);
  expect(join((part) => part.y)).toEqual([...whole.y]);
  expect(new Set(whole.indices.subarray(0, 20)).size).toBe(20);
  expect(new Set(whole.indices.subarray(20, 40)).size).toBe(20);
});

test("pixels go to [-1, 1], some images mirrored as a whole", () => {
  const images = set(40);
  const plain = batches(images, { seed: 1, flip: false, shuffle: false }).at(0, 40);
  expect([...plain.indices]).toEqual(Array.from({ length: 40 }, (_, i) => i));
  expect([...plain.x]).toEqual([...images.images].map((byte) => Math.fround(byte / 127.5 - 1)));
  expect([plain.x[0], plain.x[255]]).toEqual([-1, 1]);
  const mirrored = batches(images, { seed: 1, shuffle: false }).at(0, 40);
  let flips = 0;
  for (let image = 0; image < 40; image++) {
    const [a, b] = [plain, mirrored].map(({ x }) => [...x.subarray(image * 12, image * 12 + 12)]) as [number[], number[]];
    const turned = [2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9].map((i) => a[i]!);
    if (JSON.stringify(b) === JSON.stringify(turned)) flips++;
    else expect(b).toEqual(a);
  }
  expect(flips).toBeGreaterThan(8);
  expect(flips).toBeLessThan(32);
});

test("wrong sets and windows are refused", () => {
  expect(() => batches({ ...set(3), count: 0 }, { seed: 0 })).toThrow("DIT4040");
  expect(() => batches({ ...set(3), labels: new Uint8Array(2) }, { seed: 0 })).toThrow(/36 pixels and 3 labels, found 36 and 2/);
  expect(() => batches(set(3), { seed: 0.5 })).toThrow("DIT4041");
  expect(() => batches(set(3), { seed: 0 }).at(-1, 2)).toThrow("DIT4041");
  expect(() => batches(set(3), { seed: 0 }).at(0, 0)).toThrow("DIT4041");
});
