/** Damaged bundles: whatever a program.json says, its reader names what is wrong, or packs it; it never crashes or hangs. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import { programHash, readBundle } from "../../src/node/read-bundle.js";
import { PackError, pack } from "../../src/program/pack.js";
import type { Program } from "../../src/program/program.js";
import { validate, validateLayout } from "../../src/program/validate.js";
import { type Random, random } from "../random-numbers.js";
import { tiny } from "./tiny.js";

const folder = mkdtempSync(join(tmpdir(), "dit-fuzz-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const junk: readonly unknown[] = [
  ...[null, true, false, 0, -1, 0.5, 1, 7, 2 ** 31, 2 ** 53 - 1, 1e308, "", "x", "../x", "a".repeat(100_000)],
  ...[[], {}, [0, 4], [0, 2 ** 50, 2 ** 50], [[[[]]]], { __proto__: 1 }, { length: -1 }, ["read", "read_write"]],
];

/** Replaces, removes or doubles something anywhere in the value. */
function damaged(value: unknown, r: Random): unknown {
  const keys = typeof value === "object" && value !== null ? Object.keys(value) : [];
  if (keys.length === 0 || r.below(8) === 0) return structuredClone(r.of(junk));
  const key = r.of(keys);
  const kind = r.below(8);
  if (Array.isArray(value)) {
    const at = Number(key);
    if (kind === 0) return value.toSpliced(at, 1);
    return kind === 1 ? [...value, value[at]] : value.with(at, damaged(value[at], r));
  }
  const { [key]: old, ...rest } = value as Record<string, unknown>;
  return kind === 0 ? rest : { ...rest, [key]: damaged(old, r) };
}

test("5,000 damaged programs are refused in words, or can be packed", { timeout: 60_000 }, () => {
  const { program, wgsl, constants } = tiny();
  let refused = 0;
  for (let i = 0; i < 5000; i++) {
    const r = random(i);
    let value: unknown = damaged(program, r);
    if (r.below(2) === 0) value = damaged(value, r);
    const problems = validate(value, wgsl, constants.length);
    if (problems.length > 0) {
      refused++;
      for (const problem of problems) expect(problem.length, `${i}`).toBeLessThan(500);
      continue;
    }
    try {
      const batch = 1 + r.below(3);
      validateLayout(value as Program, pack(value as Program, batch), batch);
    } catch (error) {
      expect(error, `${i}: ${error instanceof Error ? error.stack : ""}`).toBeInstanceOf(PackError);
    }
  }
  expect(refused).toBeGreaterThan(2500);
});

test("500 damaged program.json, byte by byte, and one that is too deep", { timeout: 60_000 }, async () => {
  const { program, wgsl, constants } = tiny();
  const files = program.kernels.flatMap(({ variants }) => variants.map(({ file }) => file));
  const texts = Object.fromEntries(files.map((file) => [file, wgsl[file]!]));
  const whole = { ...program, hash: programHash(program, texts, constants) };
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, "constants.bin"), constants);
  const text = JSON.stringify(whole);
  const read = async (content: string | Uint8Array) => {
    writeFileSync(join(folder, "program.json"), content);
    return readBundle(folder).then(
      () => undefined,
      (error: unknown) => {
        if (!(error instanceof DitError)) throw error;
        return error;
      },
    );
  };
  expect(await read(text)).toBeUndefined();
  let refused = 0;
  for (let i = 0; i < 500; i++) {
    const r = random(i);
    let bytes = new TextEncoder().encode(text);
    if (i % 4 === 0) bytes = bytes.slice(0, r.below(bytes.length));
    else for (let k = 0; k <= r.below(3); k++) bytes[r.below(bytes.length)]! ^= 1 << r.below(8);
    const error = await read(bytes);
    // What the report says is not part of the hash.
    if (error) refused++;
    for (const { code } of error?.diagnostics ?? []) expect(["DIT7012", "DIT7013", "DIT4001"]).toContain(code);
  }
  expect(refused).toBeGreaterThan(480);
  const bomb = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  const deep = await read(`${text.slice(0, -1)},"news":${bomb}}`);
  expect(deep?.message).toContain("note: program.json is nested too deeply");
  expect((await read(text.replace('"kernels":[', `"kernels":[${bomb},`)))?.diagnostics[0]?.code).toBe("DIT7012");
});
