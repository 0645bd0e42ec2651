/** docs/errors.md: every code that the source can say, with one line each. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readPage } from "./generated.js";

const root = join(import.meta.dirname, "../../src");

test("the page has every code of the source, once, in order, and no other", () => {
  const sources = (readdirSync(root, { recursive: true }) as string[]).filter((file) => /\.(ts|mjs)$/.test(file));
  // As a string, or as a key of a table; comments do not count.
  const said = sources.flatMap(
    (file) => readFileSync(join(root, file), "utf8").match(/(?<=")DIT\d{4}(?=")|(?<=^ +)DIT\d{4}(?=: ")/gm) ?? [],
  );
  const listed = [...readPage("docs/errors.md").matchAll(/^\| (DIT\d{4}) \| \S.* \|$/gm)].map((match) => match[1]);
  expect(listed).toEqual([...new Set(said)].sort());
});
