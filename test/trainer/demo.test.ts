import { expect, test } from "vitest";
import { progress } from "../../src/cli/progress.js";
import { planDemo } from "../../src/trainer/demo.js";

test("a plan keeps to its budget on any machine, and to its bounds", () => {
  for (const secondsPerStep of [0.001, 0.05, 0.3, 0.5, 1, 2, 5]) {
    const { steps, rows } = planDemo(secondsPerStep, 530, 50);
    const drawing = (10 / 32) * rows * 100 * (secondsPerStep / 3);
    expect(steps * secondsPerStep + drawing).toBeLessThanOrEqual(530);
    expect(steps * secondsPerStep).toBeLessThanOrEqual(480);
    expect(rows).toBeGreaterThanOrEqual(2);
  }
  // A slow machine of two cores still draws ten of each class.
  expect(planDemo(0.2, 530, 50).rows).toBe(10);
  expect(planDemo(0.001, 280, 50)).toEqual({ steps: 10_000, rows: 10 });
  // Hopelessly slow: something still happens, and the figures say that it was not enough.
  expect(planDemo(60, 100, 50)).toEqual({ steps: 10, rows: 2 });
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
