/**
 * What a process takes that runs a large model: the planned GPU memory, which a software driver takes of the process, and 600 MB at most
 * for all else, because weights come from their file a tensor at a time. The weights are those of seven blocks of DiT-XL/2, 700 MB, so that
 * a second copy of them would show; few tokens, so that there is little to compute. `npm run full-size` does the same with the models
 * themselves.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { presets } from "../../src/checkpoints/config.js";
import { officialParameters } from "../../src/checkpoints/layout.js";
import { writeBundle } from "../../src/compile/bundle.js";
import { compile } from "../../src/compile/compile.js";
import { writeFileAtomic } from "../../src/formats/files.js";
import { writeSafetensors } from "../../src/formats/safetensors.js";
import { writeSafetensorsFile } from "../../src/formats/safetensors-file.js";
import { memoryPlan } from "../../src/program/memory.js";
import { pack } from "../../src/program/pack.js";
import type { Program } from "../../src/program/program.js";
import { peak } from "./peak.js";

const BESIDE = 600e6;
const [depth, inputSize] = [7, 4];
let folder: string;
let program: Program;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dit-run-memory-"));
  const set = [`depth=${depth}`, `inputSize=${inputSize}`, "guidance=1", "sampler=ddim", "respacing=ddim2"];
  const { bundle } = await compile("models/dit.graph.ts", { preset: "DiT-XL/2", set, batch: 1, entries: ["forward", "sample"] });
  program = bundle.program;
  await writeBundle(bundle, at("bundle"));
  const parameters = officialParameters({ ...presets.get("DiT-XL/2")!, depth, inputSize });
  const infos = new Map(parameters.map(({ name, shape }) => [name, { dtype: "F32" as const, shape }]));
  await writeSafetensorsFile(at("weights.safetensors"), infos, {}, async (name) => {
    const count = infos.get(name)!.shape.reduce((a, b) => a * b, 1);
    return new Float32Array(count).fill(0.02);
  });
  const x = { dtype: "F32", shape: [1, 4, inputSize, inputSize], data: new Float32Array(4 * inputSize ** 2).fill(0.5) } as const;
  const one = (n: number) => ({ dtype: "I32", shape: [1], data: Int32Array.of(n) }) as const;
  const inputs = new Map(Object.entries({ x, t: one(500), y: one(7) }));
  await writeFileAtomic(at("in.safetensors"), writeSafetensors(inputs));
}, 240_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cases = [
  { entry: "forward", args: () => ["run", at("bundle"), "-e", "forward", "-i", at("in.safetensors")] },
  { entry: "sample", args: () => ["sample", at("bundle"), "--class", "7"] },
];
test.each(cases)("$entry", async ({ entry, args }) => {
  const weights = ["-w", at("weights.safetensors"), "-o", at(`${entry}.safetensors`)];
  const { code, bytes, said } = await peak(...args(), ...weights);
  expect(code, said).toBe(0);
  const plan = memoryPlan(program, pack(program, 1, { entries: [entry] })).total;
  console.log(`${entry}: plan ${(plan / 1e6).toFixed(0)} MB, process ${(bytes / 1e6).toFixed(0)} MB`);
  expect(plan).toBeGreaterThan(BESIDE);
  expect(bytes).toBeGreaterThan(plan);
  expect(bytes).toBeLessThan(plan + BESIDE);
});
