// `tune` on a driver, and a model compiled with what it found: the file has every work with a choice, and the numbers are the same.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tuneCommand } from "../../src/cli/tune.js";
import { writeBundle } from "../../src/compile/bundle.js";
import { compile } from "../../src/compile/compile.js";
import { choicesFor, readTuning } from "../../src/tuner/tuning-file.js";

const folder = mkdtempSync(join(tmpdir(), "dit-tune-"));
afterAll(() => rmSync(folder, { recursive: true }));
const [bundle, output] = [join(folder, "bundle"), join(folder, "tuning.json")];
const options = { preset: "tiny", batch: 4, entries: ["forward"] } as const;
const keysOf = async (tuning?: ReadonlyMap<string, string>) => {
  const { program } = (await compile("models/mlp.graph.ts", { ...options, ...(tuning ? { tuning } : {}) })).bundle;
  return program.entries[0]!.segments.flatMap((s) => s.dispatches.flatMap((d) => d.choiceKey ?? []));
};

let out = "";
let err = "";
const io = {
  out: (text: string) => {
    out += text;
  },
  err: (text: string) => {
    err += text;
  },
};
beforeAll(async () => {
  await writeBundle((await compile("models/mlp.graph.ts", options)).bundle, bundle);
});

test("all ways are measured and the file has what was found", async () => {
  await tuneCommand(bundle, { entry: "forward", output, runs: 2 }, io);
  const keys = await keysOf();
  expect(keys.length).toBeGreaterThan(0);
  const { adapter, choices, measured } = choicesFor(await readTuning(output), output);
  expect(adapter).toContain(process.env.DIT_TEST_ADAPTER);
  expect([...measured].sort()).toEqual([...new Set(keys)].sort());
  expect(await keysOf(choices)).toEqual(keys);
  for (const { us, ownUs, tried } of Object.values((await readTuning(output)).adapters[adapter]!.kernels)) {
    expect(us).toBeGreaterThan(0);
    expect(us).toBeLessThanOrEqual(ownUs);
    expect(tried).toBeGreaterThan(1);
  }
  expect(out).toMatch(/one pass +[\d.]+ ms, tuned [\d.]+ ms: [\d.]+ times/);
  expect(err).toContain(`wrote ${output}`);
});

test("with no time nothing new is begun, and what the file has stays", async () => {
  const before = await readTuning(output);
  out = "";
  await tuneCommand(bundle, { entry: "forward", output, runs: 1, time: 1e-9 }, io);
  expect(out).toContain("no time left");
  expect(Object.keys((await readTuning(output)).adapters)).toEqual(Object.keys(before.adapters));
});
