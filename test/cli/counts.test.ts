// What `npm run counts` prints: a limit each for dispatches, pipelines and memory of the compiled programs.
import { expect, test } from "vitest";
import { counts } from "../../bench/counts.mjs";
import { compile } from "../../src/compile/compile.js";

test("dispatches, pipelines and memory stay below their limits", { timeout: 120_000 }, async () => {
  const rows = await counts(compile);
  expect(rows).toHaveLength(8);
  for (const { what, found, limit } of rows) {
    expect(found, what).toBeGreaterThan(0);
    expect(found, what).toBeLessThanOrEqual(limit);
  }
  // The second stages are listed by name.
  expect(rows.flatMap((r) => r.detail ?? [])).not.toHaveLength(0);
});
