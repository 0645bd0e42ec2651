// The pages on kernels: every family has one that names it, and every choice is explained there by its name.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { families } from "../../src/codegen/kernels/index.js";

const folder = join(import.meta.dirname, "../../docs/kernels");
const pages = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]));
const index = pages.get("README.md")!;

/** The page whose line of the index names the family. */
const pageOf = (family: string): string => {
  const line = index.split("\n").find((text) => text.startsWith("| [") && text.split("|")[2]!.includes(`\`${family}\``));
  const [, page] = /\(([^)]+)\)/.exec(line ?? "") ?? [];
  return pages.get(page ?? "") ?? "";
};

test.each(families.map((family) => [family.name, family] as const))("%s", (name, { choices = [] }) => {
  const text = pageOf(name);
  expect(text, `no page for ${name} in docs/kernels/README.md`).not.toBe("");
  for (const choice of choices) {
    // The attention that is chosen without saying so is the page's subject.
    if (choice.name !== "fused") expect(text, `${name}: nothing about ${choice.name}`).toContain(choice.name);
  }
});

test("each page is in the index", () => {
  for (const page of pages.keys()) if (page !== "README.md") expect(index).toContain(`(${page})`);
});
