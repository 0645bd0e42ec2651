/** DiT-XL/2 does not train in the memory of most GPUs: that is said before anything is allocated, with the figures. */
import { expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";

const GiB = 2 ** 30;

test("training DiT-XL/2 in 12 GiB is refused by plan", { timeout: 240_000 }, async () => {
  const memory = { bytes: 12 * GiB, training: true };
  const training = compile("models/dit.graph.ts", { preset: "DiT-XL/2", batch: 1, entries: ["train_step"], memory });
  const said = await training.then(() => "", String);
  const bytes = (pattern: RegExp): number => Number(pattern.exec(said)?.[1]?.replaceAll(",", ""));
  expect(said).toMatch(/^DitError: error DIT1305: train_step at batch 1 needs at least .* of GPU memory, may take 12.0 GiB/);
  const least = bytes(/needs at least .*? \(([\d,]+) bytes\)/);
  const plain = bytes(/with nothing computed again it needs .*? \(([\d,]+) bytes\)/);
  // Weights, both moments, the average and the gradients, in f32, of 674,834,720 numbers that are trained.
  const state = 5 * 4 * 674_834_720;
  expect(least).toBeGreaterThan(state);
  expect(least).toBeLessThan(1.02 * state);
  expect(plain).toBeGreaterThan(least);
  expect(said).toContain(`--memory ${least}`);
});
