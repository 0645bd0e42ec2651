import { expect, test } from "vitest";
import { epochOrder, stream } from "../../src/data/batches.js";
import type { ImageSet } from "../../src/data/image-set.js";
import { type ImageSource, inMemory } from "../../src/data/source.js";

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

test("the stream does not depend on how it is cut into batches, nor on what is read ahead", async () => {
  const whole = await stream(inMemory(set(20)), { seed: 1 }).at(0, 60);
  for (const ahead of [0, 1000, 2 ** 20]) {
    const cut = stream(inMemory(set(20)), { seed: 1, ahead });
    const windows = [
      [50, 10],
      [0, 7],
      [7, 7],
      [14, 7],
      [21, 7],
      [28, 22],
    ] as const;
    const parts = new Map<number, Awaited<ReturnType<typeof cut.at>>>();
    for (const [first, n] of windows) parts.set(first, await cut.at(first, n));
    const join = (pick: "x" | "y" | "indices") => [0, 7, 14, 21, 28, 50].flatMap((first) => [...parts.get(first)![pick]]);
    for (const pick of ["x", "y", "indices"] as const) expect(join(pick), `${pick}, ahead ${ahead}`).toEqual([...whole[pick]]);
  }
  expect(new Set(whole.indices.subarray(0, 20)).size).toBe(20);
  expect(new Set(whole.indices.subarray(20, 40)).size).toBe(20);
});

test("pixels go to [-1, 1], in the set's own order when it is asked for", async () => {
  const images = set(40);
  const plain = await stream(inMemory(images), { seed: 1, shuffle: false }).at(0, 40);
  expect([...plain.indices]).toEqual(Array.from({ length: 40 }, (_, i) => i));
  expect([...plain.x]).toEqual([...images.images].map((byte) => Math.fround(byte / 127.5 - 1)));
  expect([plain.x[0], plain.x[255]]).toEqual([-1, 1]);
  expect([...plain.y]).toEqual([...images.labels]);
});

/** A source that takes its time, and counts. */
function slow(count: number, milliseconds: number) {
  const inner = inMemory(set(count));
  const seen = { loads: 0, images: 0, working: 0 };
  const source: ImageSource = {
    ...inner,
    async load(indices) {
      seen.loads++;
      seen.images += indices.length;
      seen.working++;
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      seen.working--;
      return inner.load(indices);
    },
  };
  return { source, seen };
}

test("the next windows are loaded while the caller is busy, as many as the bound allows, and none twice", async () => {
  const bytes = 4 * 5 * 12;
  const { source, seen } = slow(100, 30);
  const ahead = stream(source, { seed: 0, ahead: 3 * bytes + 1 });
  await ahead.at(0, 5);
  expect(seen.loads).toBe(4);
  for (let first = 5; first < 60; first += 5) await ahead.at(first, 5);
  expect(seen.loads).toBe(12 + 3);
  expect(seen.images).toBe(15 * 5);
  // Another size: what was begun for the old one is of no use.
  await ahead.at(60, 10);
  expect(seen.images).toBe(15 * 5 + 10 + 10);
  // What was begun beforehand is what is asked for.
  const early = slow(100, 1);
  const begun = stream(early.source, { seed: 0, ahead: 3 * bytes });
  begun.begin(20, 5);
  expect(early.seen.loads).toBe(3);
  expect((await begun.at(20, 5)).indices).toEqual((await stream(source, { seed: 0, ahead: 0 }).at(20, 5)).indices);
  expect(early.seen.loads).toBe(4);
  const most = slow(100, 1);
  await stream(most.source, { seed: 0, ahead: 2 ** 40 }).at(0, 5);
  expect(most.seen.loads).toBe(9);
});

test("the time that callers waited is counted, and reading ahead makes it small", async () => {
  const run = async (ahead: number) => {
    const samples = stream(slow(100, 40).source, { seed: 0, ahead });
    for (let first = 0; first < 40; first += 5) {
      await samples.at(first, 5);
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    return samples.waited;
  };
  const without = await run(0);
  expect(without).toBeGreaterThan(8 * 0.039);
  expect(await run(2 ** 20)).toBeLessThan(without / 2);
});

test("what cannot be loaded is an error of its own batch", async () => {
  const inner = inMemory(set(20));
  const bad: ImageSource = {
    ...inner,
    load: async (indices) => {
      if (indices.includes(13)) throw new Error("13 is broken");
      return inner.load(indices);
    },
  };
  const samples = stream(bad, { seed: 0, shuffle: false });
  for (const first of [0, 4, 8]) expect((await samples.at(first, 4)).indices[0]).toBe(first);
  await expect(samples.at(12, 4)).rejects.toThrow("13 is broken");
  expect((await samples.at(16, 4)).indices[0]).toBe(16);
});

test("wrong sets and windows are refused", async () => {
  expect(() => inMemory({ ...set(3), count: 0 })).toThrow("DIT4040");
  expect(() => inMemory({ ...set(3), labels: new Uint8Array(2) })).toThrow(/36 pixels and 3 labels, found 36 and 2/);
  expect(() => stream(inMemory(set(3)), { seed: 0.5 })).toThrow("DIT4041");
  await expect(stream(inMemory(set(3)), { seed: 0 }).at(-1, 2)).rejects.toThrow("DIT4041");
  await expect(stream(inMemory(set(3)), { seed: 0 }).at(0, 0)).rejects.toThrow("DIT4041");
});
