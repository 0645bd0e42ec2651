/** What the texts of kernels must not do, whatever a driver makes of it: they are read, nothing runs. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const folder = new URL("../../src/codegen/kernels/", import.meta.url);
const files = readdirSync(folder).filter((file) => file.endsWith(".wgsl"));

/** Variables in the body of a loop or a branch that have no value given. */
const bare = (text: string): string[] => [...text.matchAll(/^ {4,}var (\w+)(?:: [^=\n]+)?;/gm)].map((found) => found[1]!);

test("the texts are found", () => {
  expect(files.length).toBeGreaterThan(30);
  expect(bare("  loop {\n    var sum: array<vec4f, 2>; // where X\n    var a = 0u;\n")).toEqual(["sum"]);
});

/** By the standard such a variable is zero in each turn; Dawn (and naga up to 2026) zero it once, and it keeps what the turn before left. */
test.each(files)("%s does not take a loop's variable for zero", (file) => {
  const text = readFileSync(new URL(file, folder), "utf8");
  for (const name of bare(text)) expect(text, name).not.toMatch(new RegExp(`\\b${name}(?:\\[[^\\n]*\\])?(?:\\.\\w+)? [-+*]=`));
});
