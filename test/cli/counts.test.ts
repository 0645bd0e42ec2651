// What `npm run counts` prints: a limit each for dispatches, pipelines and memory of the compiled programs.
import { expect, test } from "vitest";
import { counts } from "../../bench/counts.mjs";
import { compile } from "../../src/compile/compile.js";
import { evaluate } from "../../src/program/size.js";
import { selectVariant } from "../../src/runtime/device.js";

test("dispatches, pipelines and memory stay below their limits", { timeout: 240_000 }, async () => {
  const rows = await counts(compile, selectVariant);
  expect(rows).toHaveLength(11);
  for (const { what, found, limit } of rows) {
    expect(found, what).toBeGreaterThan(0);
    expect(found, what).toBeLessThanOrEqual(limit);
  }
  // The second stages are listed by name.
  expect(rows.flatMap((r) => r.detail ?? [])).not.toHaveLength(0);
});

test("nothing is allocated whose size is the square of the tokens", { timeout: 120_000 }, async () => {
  const largest = async (inputSize: number, choices = {}) => {
    const set = [`inputSize=${inputSize}`, "depth=1", "patchSize=2"];
    const { bundle } = await compile("models/dit.graph.ts", { preset: "tiny", set, entries: ["loss_and_grad"], choices });
    return Math.max(...bundle.program.storages.filter((s) => s.kind === "activation").map((s) => evaluate(s.bytes, 1)));
  };
  // 64 and 256 tokens: what is largest grows as the tokens do, unless the scores are there.
  expect((await largest(32)) / (await largest(16))).toBe(4);
  expect((await largest(32, { attention: "unfused" })) / (await largest(16, { attention: "unfused" }))).toBeGreaterThan(4);
});
