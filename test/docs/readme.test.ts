/** The example of README.md is a model file that compiles, and the library use below it runs. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { excerptOf } from "./generated.js";

test("the example compiles", async () => {
  const folder = mkdtempSync(join(tmpdir(), "dit-compile-readme-"));
  try {
    const file = join(folder, "dots.graph.ts");
    writeFileSync(file, excerptOf("README.md", "model"));
    const { bundle, report } = await compile(file, { batch: 4 });
    expect(bundle.program.entries.map(({ name }) => name)).toEqual([
      "forward",
      "loss_and_grad",
      "train_step",
      "sample_step",
      "sample",
    ]);
    expect(report.parameters).toBeGreaterThan(0);
    // What the page hands to `sample`, and what it takes from it.
    const sample = bundle.program.entries.at(-1)!;
    const given = sample.inputs.filter(({ kind }) => kind === "input").map(({ name }) => name);
    expect(given.toSorted()).toEqual(["first", "seed", "y"]);
    expect(sample.outputs.map(({ name }) => name)).toContain("x");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
