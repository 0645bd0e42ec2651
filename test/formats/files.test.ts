import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import { readFileBytes, readFileRange, writeFileAtomic } from "../../src/formats/files.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dit-files-"));
});
afterAll(() => rm(folder, { recursive: true }));

const refusal = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DitError);
  return (error as DitError).message;
};

test("writes, replaces and reads back, whole and by range, leaving nothing else", async () => {
  const path = join(folder, "new", "a.bin");
  await writeFileAtomic(path, Uint8Array.of(9));
  await writeFileAtomic(path, Uint8Array.of(1, 2, 3, 4, 5));
  expect([...(await readFileBytes(path))]).toEqual([1, 2, 3, 4, 5]);
  expect([...(await readFileRange(path, 1, 3))]).toEqual([2, 3]);
  expect(await readdir(join(folder, "new"))).toEqual(["a.bin"]);
});

test("a text is written as UTF-8", async () => {
  await writeFileAtomic(join(folder, "t"), "ä");
  expect([...(await readFileBytes(join(folder, "t")))]).toEqual([0xc3, 0xa4]);
});

test("what cannot be read says why", async () => {
  expect(await refusal(readFileBytes(join(folder, "none")))).toMatch(
    /DIT4001: cannot read .*none: it does not exist\n {2}help: check the path/,
  );
  expect(await refusal(readFileBytes(folder))).toContain("it is a folder");
  await writeFile(join(folder, "short"), "abc");
  expect(await refusal(readFileRange(join(folder, "short"), 2, 9))).toContain("it ends at byte 3, expected 9");
});

test("what cannot be written says why and leaves no temporary file", async () => {
  await writeFile(join(folder, "file"), "");
  expect(await refusal(writeFileAtomic(join(folder, "file", "x"), "a"))).toMatch(/DIT4002: cannot write .*: /);
  const before = await readdir(folder);
  expect(await refusal(writeFileAtomic(join(folder, "new"), "a"))).toContain("it is a folder");
  expect(await readdir(folder)).toEqual(before);
});
