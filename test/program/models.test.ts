/**
 * The memory plan of every model that comes with the compiler: for each entry and several batches the packer's layout passes the
 * validator, which knows WebGPU's rules, and the report counts the same bytes.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { type Compiled, compile } from "../../src/compile/compile.js";
import { pack, peak } from "../../src/program/pack.js";
import { validate, validateLayout } from "../../src/program/validate.js";

const models: readonly [file: string, preset: string][] = [
  ["models/dit.graph.ts", "tiny"],
  ["models/dit.graph.ts", "fashion"],
  ["models/dit.graph.ts", "small"],
  ["models/dit.graph.ts", "DiT-S/2"],
  ["models/mlp.graph.ts", "mnist"],
  ["models/vit.graph.ts", "mnist"],
];
const batches = [1, 2, 7];
const reportBatch = 2;
const patient = 240_000;

describe.each(models)("%s %s", (file, preset) => {
  let compiled: Compiled;
  beforeAll(async () => {
    // The passes are verified elsewhere, on smaller models.
    compiled = await compile(file, { preset, batch: reportBatch });
  }, patient);

  test("the program is valid", () => {
    const { program, wgsl, constants } = compiled.bundle;
    expect(validate(JSON.parse(JSON.stringify(program)), wgsl, constants.length)).toEqual([]);
  });

  test.each(batches)(
    "memory at batch %d",
    (batch) => {
      const { program } = compiled.bundle;
      const names = program.entries.map((entry) => entry.name);
      for (const entries of [...names.map((name) => [name]), names]) {
        const layout = pack(program, batch, { entries });
        expect(validateLayout(program, layout, batch), entries.join(", ")).toEqual([]);
        expect(peak(layout).byKind.activation ?? 0, entries.join(", ")).toBeGreaterThanOrEqual(layout.activationBound);
      }
    },
    patient,
  );

  test("the report counts the bytes of the plan", () => {
    const { report, bundle } = compiled;
    expect(report.peakTotal).toBe(peak(pack(bundle.program, reportBatch)).total);
    for (const { name, peakBytes, peakTotal } of report.entries) {
      const { total, byKind } = peak(pack(bundle.program, reportBatch, { entries: [name] }));
      expect({ name, peakBytes, peakTotal }).toEqual({ name, peakBytes: byKind, peakTotal: total });
    }
  });
});
