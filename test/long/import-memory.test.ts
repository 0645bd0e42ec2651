/**
 * Importing a checkpoint takes the memory of a few tensors, however large the file is. The file has the tensors of DiT-XL/2 in three
 * blocks, 300 MB; `DIT_TEST_DEPTH=28` makes it the whole model, 2.7 GB, with the same bound. The look is at the high-water mark that
 * the system keeps of the command's process.
 */
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { presets } from "../../src/checkpoints/config.js";
import { officialParameters } from "../../src/checkpoints/layout.js";
import { readSafetensorsHeader } from "../../src/formats/safetensors-file.js";
import { stateDict, Tensor, torchFile } from "../torch-file.js";

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

/** Runs the command as a user would; the most memory that its process had. */
async function peak(...args: readonly string[]): Promise<{ code: number | null; bytes: number; said: string }> {
  const { MALLOC_MMAP_THRESHOLD_: _, ...env } = process.env;
  const child = spawn(process.execPath, ["dist/cli/main.js", ...args], { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (text) => {
    said += text;
  });
  let bytes = 0;
  const look = setInterval(() => {
    try {
      const [, kb] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8")) ?? [];
      bytes = Math.max(bytes, 1024 * Number(kb ?? 0));
    } catch {
      // It has ended.
    }
  }, 20);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearInterval(look);
  return { code, bytes, said };
}

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
