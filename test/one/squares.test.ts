// The sum of squares of buffers of any size, with each text that a device may take: no number is left out or taken twice, and a second run
// gives the same bits.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Builder } from "../../src/ir/builder.js";
import { tensorType } from "../../src/ir/types.js";
import { fuse } from "../../src/passes/fuse/index.js";
import type { Bundle } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { bundleOf } from "../gpu/run-module.js";

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn?.dispose());

function squaresOf(sizes: readonly number[], parts: number, safe: boolean): Bundle {
  const b = new Builder();
  const inputs = sizes.map((n, i) => b.param(`x${i}`, "input", tensorType("f32", ["element"], [n])));
  const value = { type: tensorType("f32", ["part"], [parts]) };
  b.nodes.push({ op: "sum_of_squares", inputs, attrs: { parts }, outputs: [value] });
  return bundleOf(fuse.run({ stage: "graph", fns: [b.finish("main", [{ name: "y", value }])] }, {}), { safe });
}

function withVariant({ program, ...rest }: Bundle, taken: string): Bundle {
  const kernels = program.kernels.map((kernel) => ({
    ...kernel,
    variants: kernel.variants.filter(({ name }) => name === taken).map((v) => ({ ...v, requires: {} })),
  }));
  return { ...rest, program: { ...program, kernels } };
}

/** By how much the sum may be off: terms of one sign, and no chain of additions is longer than this. */
const CHAIN = 256;

// One part of 256 threads goes through 256 · 64 elements, or fours, before it adds up a strip.
const cases: readonly (readonly [sizes: readonly number[], parts: number])[] = [
  [[1], 3],
  [[4, 8], 2],
  [[1003, 5, 256, 257], 1],
  [[256 * 8 - 1, 256 * 8, 256 * 8 + 1], 1],
  [[4 * 256 * 64, 4 * (256 * 64 + 1), 4 * (256 * 63 - 1)], 1],
  [[3 * 256 * 64 + 17, 2 * 256 * 64 * 2], 2],
  [[4 * 100_003], 128],
];

describe.each(["naive", "group", "group-256"])("%s", (taken) => {
  test.each(cases)("%j in %d parts", async (sizes, parts) => {
    const bundle = withVariant(squaresOf(sizes, parts, taken === "naive"), taken);
    const session = await createSession(bundle, dawn.device, { batch: 1 });
    try {
      // Each number is another one, the last ones the largest: one that is left out is seen.
      const values = sizes.map((n, k) =>
        Float32Array.from({ length: n }, (_, i) => 1 + ((i * 7 + k) % 31) / 8 + (i > n - 5 ? n : 0)),
      );
      const inputs = Object.fromEntries(values.map((data, i) => [`x${i}`, data]));
      const { y } = (await session.run("main", inputs)) as { y: Float32Array };
      const exact = values.reduce((total, data) => total + data.reduce((a, x) => a + x * x, 0), 0);
      const found = y.reduce((a, x) => a + x, 0);
      const chain = taken === "naive" ? Math.ceil(Math.max(...sizes) / parts) : CHAIN;
      expect(Math.abs(found - exact)).toBeLessThanOrEqual(chain * 2 ** -24 * exact);
      const again = (await session.run("main", inputs)) as { y: Float32Array };
      expect(again.y).toEqual(y);
      // What is not finite is so wherever it stands, in a part that a whole workgroup makes.
      values.at(-1)![sizes.at(-1)! - 1] = Number.POSITIVE_INFINITY;
      const bad = (await session.run("main", inputs)) as { y: Float32Array };
      expect(bad.y.filter((x) => !Number.isFinite(x))).toHaveLength(1);
    } finally {
      session.dispose();
    }
  });
});
