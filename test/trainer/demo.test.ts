import { expect, test } from "vitest";
import { progress } from "../../src/cli/progress.js";
import type { ImageSet } from "../../src/data/image-set.js";
import { judge, planDemo } from "../../src/trainer/demo.js";
import { heldOut, nearestDistance, noiseLike } from "../../src/trainer/measure.js";

/** Four classes of pictures of 4 x 4; pixel 0 is always black. */
function imageSet(count: number): ImageSet {
  const images = Uint8Array.from({ length: count * 16 }, (_, i) =>
    i % 16 === 0 ? 0 : (Math.floor(i / 16) * 37 + (i % 16) * 11) % 256,
  );
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 4);
  return { images, labels, count, channels: 1, height: 4, width: 4, classes: ["a", "b", "c", "d"] };
}

test("a plan keeps to its budget on any machine, and to its bounds", () => {
  for (const secondsPerStep of [0.001, 0.05, 0.3, 0.5, 1, 2, 5]) {
    const { steps, rows } = planDemo(secondsPerStep, 280, 50);
    const drawing = (10 / 32) * rows * 100 * (secondsPerStep / 3);
    expect(steps * secondsPerStep + drawing).toBeLessThanOrEqual(280);
    expect(rows).toBeGreaterThanOrEqual(1);
  }
  expect(planDemo(0.001, 280, 50)).toEqual({ steps: 5000, rows: 10 });
  // Hopelessly slow: something still happens, and the figures say that it was not enough.
  expect(planDemo(60, 100, 50)).toEqual({ steps: 10, rows: 1 });
});

test("what a demo must reach", () => {
  expect(judge(1, 0.5, { samples: 9, noise: 10 })).toEqual([]);
  expect(judge(1, 0.51, { samples: 9, noise: 10 })).toEqual([
    "the held-out error is 0.5100; at most half of the fresh model's 1.0000 is required",
  ]);
  expect(judge(1, 0.1, { samples: 10, noise: 10 })).toHaveLength(1);
  expect(judge(1, Number.NaN, { samples: Number.NaN, noise: 10 })).toHaveLength(2);
});

test("held-out questions are fixed, and cover classes and timesteps", () => {
  const set = imageSet(100);
  const question = heldOut(set, 8, 3, 1);
  expect(question).toEqual(heldOut(set, 8, 3, 1));
  expect(question).not.toEqual(heldOut(set, 8, 3, 2));
  const t = question.batches.flatMap((batch) => [...batch.t]);
  expect(t).toHaveLength(24);
  for (let quarter = 0; quarter < 4; quarter++) {
    expect(t.filter((x) => Math.floor(x / 250) === quarter).length).toBeGreaterThanOrEqual(4);
  }
  expect(new Set(question.batches.flatMap((batch) => [...batch.y])).size).toBe(4);
  const noise = question.batches.flatMap((batch) => [...batch.noise]);
  expect(noise.reduce((sum, x) => sum + x * x, 0) / noise.length).toBeCloseTo(1, 0);
  expect(noise[0]).not.toBe(noise[16]);
});

test("distances: real pictures are at 0, a shifted one at the length of the shift", () => {
  const set = imageSet(20);
  const { x_start } = heldOut(set, 5, 1, 0).batches[0]!;
  expect(nearestDistance(x_start, set)).toBe(0);
  const one: ImageSet = { ...set, images: set.images.slice(0, 16), labels: set.labels.slice(0, 1), count: 1 };
  const shifted = Float32Array.from(one.images, (byte) => byte / 127.5 - 1 + 0.5);
  expect(nearestDistance(shifted, one)).toBeCloseTo(0.5 * 4, 5);
});

test("noise has the pixels' mean and variance", () => {
  const set = imageSet(200);
  const count = 2000;
  const clouds = noiseLike(set, count, 3);
  for (const pixel of [0, 1, 7, 15]) {
    const moments = (values: number[]) => {
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      return [mean, Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length)] as const;
    };
    const real = moments(Array.from({ length: 200 }, (_, i) => set.images[i * 16 + pixel]! / 127.5 - 1));
    const made = moments(Array.from({ length: count }, (_, i) => clouds[i * 16 + pixel]!));
    // Five standard errors of 2000 draws.
    const error = (5 * real[1]) / Math.sqrt(count) + 1e-6;
    expect(Math.abs(made[0] - real[0])).toBeLessThanOrEqual(error);
    expect(Math.abs(made[1] - real[1])).toBeLessThanOrEqual(error);
  }
});

test("without a terminal progress is a plain line now and then, and always the last", () => {
  const printed: string[] = [];
  let now = 0;
  const meter = progress("training", { bar: false, print: (line) => printed.push(line), now: () => now });
  for (let done = 1; done <= 100; done++) {
    meter.update(done, 100, done > 50 ? "loss 0.5" : "");
    now += 500;
  }
  meter.end();
  expect(printed).toEqual([
    "training 1/100",
    "training 31/100",
    "training 61/100 loss 0.5",
    "training 91/100 loss 0.5",
    "training 100/100 loss 0.5",
  ]);
});
