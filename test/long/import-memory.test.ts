/**
 * Importing a checkpoint takes the memory of a few tensors, however large the file is. The file has the tensors of DiT-XL/2 in three
 * blocks, 300 MB; `DIT_TEST_DEPTH=28` makes it the whole model, 2.7 GB, with the same bound. The look is at the high-water mark that
 * the system keeps of the command's process.
 */
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { presets } from "../../src/checkpoints/config.js";
import { officialParameters } from "../../src/checkpoints/layout.js";
import { readSafetensorsHeader } from "../../src/formats/safetensors-file.js";
import { stateDict, Tensor, torchFile } from "../torch-file.js";
import { peak } from "./peak.js";

const MOST = 300e6;
const depth = Number(process.env.DIT_TEST_DEPTH ?? 3);
const parameters = officialParameters({ ...presets.get("DiT-XL/2")!, depth });
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "dit-import-"));
  const file = openSync(join(folder, "big.pt"), "w");
  const tensors = parameters.map(({ name, shape }, k): [string, Tensor] => {
    const count = shape.reduce((a, b) => a * b, 1);
    const data = () => Float32Array.from({ length: count }, (_, i) => ((i * 7 + k) % 1000) / 1000);
    return [name, new Tensor({ dtype: "F32", count, data }, shape)];
  });
  for (const piece of torchFile(stateDict(Object.fromEntries(tensors)))) writeSync(file, piece);
  closeSync(file);
}, 600_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("import streams", { timeout: 600_000 }, async () => {
  const [from, to] = [join(folder, "big.pt"), join(folder, "weights.safetensors")];
  const { code, bytes, said } = await peak("import", from, "-o", to);
  console.log(`a file of ${(statSync(from).size / 1e6).toFixed(0)} MB: ${(bytes / 1e6).toFixed(0)} MB at most`);
  expect(code, said).toBe(0);
  const { entries } = await readSafetensorsHeader(to);
  expect([...entries.keys()].toSorted()).toEqual(parameters.map(({ name }) => name).toSorted());
  expect(bytes).toBeGreaterThan(50e6);
  expect(bytes).toBeLessThan(MOST);
});
