// The forms of matmul that depend on the subgroup width, at this adapter's; test/driver/matmul.test.ts has the others.
import { expect, test } from "vitest";
import { compare, few, forced, onDevice, readTwice, subgroupWidth } from "./matmul-cases.js";
import { sample } from "./sample.js";

onDevice();

test.each(forced.filter(([choice]) => choice.startsWith("subgroup")))(
  "%s gives the reference's numbers",
  async (choice, cases) => {
    // Not what is behind it, which has tests of its own.
    const width = subgroupWidth();
    // Those that say their name are only for subgroups that are a CPU's vector.
    const widths = { "subgroup-single": [4, 8, 16], "subgroup-panel": [8, 16] }[choice];
    const name = widths ? new RegExp(`^${choice}-\\d+$`) : /^subgroup-\d+$/;
    const taken = widths?.includes(width!) ? `${choice}-${width}` : undefined;
    for (const given of sample(choice, cases, choice === "subgroup-inline" ? 1 : 2))
      expect((await compare(given, { choice, taken }))[0], `${given}`).toMatch(name);
  },
);

test.each(forced.filter(([choice]) => choice.startsWith("quad")))("%s gives the reference's numbers", async (choice, cases) => {
  // At other widths what is behind it runs, which has tests of its own.
  const four = subgroupWidth() === 4;
  for (const given of sample(choice, cases, four ? 3 : 1))
    expect((await compare(given, { choice, taken: four ? choice : undefined }))[0], `${given}`).toBe(choice);
});

test("sizes in the text", async () => {
  const [, cases] = forced.find(([choice]) => choice === "subgroup-tail")!;
  for (const given of sample("baked", cases, 1))
    expect((await compare(given, { choice: "subgroup-tail+baked" }))[0], `${given}`).toMatch(/^subgroup-\d+$/);
});

test("an operand that is read in two ways", async () => {
  for (const given of sample("read twice", readTwice, 4)) await compare(given, {});
});

test("few rows or columns at the compile batch are right at any batch", async () => {
  for (const given of sample("few", few, 3))
    expect((await compare(given, { compiledFor: 2 })).at(-1), `${given}`).toMatch(/^few-/);
});
