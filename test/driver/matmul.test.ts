// The forms of matmul that need no subgroups; test/gpu/matmul.test.ts has the others.
import { expect, test } from "vitest";
import { matmulChoices } from "../../src/codegen/kernels/matmul.js";
import { compare, few, forced, onDevice } from "../gpu/matmul-cases.js";
import { sample, shared } from "../gpu/sample.js";

onDevice();

test("every choice is forced somewhere", () => {
  // Those that a device may lack are in matrix.test.ts.
  const names = matmulChoices.filter(({ needs }) => !needs).map(({ name }) => name);
  expect(["few-rows", ...forced.map(([choice]) => choice)]).toEqual(names);
});

test.each(shared(forced.filter(([choice]) => !/^(subgroup|quad)-/.test(choice))))(
  "%s gives the reference's numbers",
  async (choice, cases) => {
    // Texts of tiles are long, and what they differ in is numbers.
    for (const given of sample(choice, cases, /^(workgroup|split)-/.test(choice) ? 1 : 3)) {
      const [taken] = await compare(given, { choice });
      expect(taken, `${given}`).toBe(choice);
    }
  },
);

// Of each design's cases one, also with its sizes in the text, and at another batch than it was made for.
test("sizes in the text", async () => {
  const designs = forced.filter(([choice]) => !/^(subgroup|quad|split)-/.test(choice));
  const all = designs.flatMap(([choice, cases]) => cases.map((given) => [choice, given] as const));
  for (const [choice, given] of sample("baked", all, 2)) {
    const [taken] = await compare(given, { choice: `${choice}+baked`, compiledFor: 3 });
    expect(taken, `${choice}, ${given}`).toBe(choice);
  }
  for (const given of sample("baked few", few, 2)) await compare(given, { choice: "baked", compiledFor: 2 });
});

test("the naive kernel gives the reference's numbers", async () => {
  // With naive kernels alone squares are added up by a kernel of their own.
  const all = [...forced.flatMap(([, cases]) => cases), ...few].filter(([, ending]) => ending !== "squares");
  const each = [...new Map(all.map((c) => [c.join(), c])).values()];
  for (const given of sample("naive", each, 6)) await compare(given, { safe: true });
});

test("few rows or columns, also where another form would be taken", async () => {
  for (const given of sample("few-rows", few, 3)) {
    const [taken, ...others] = await compare(given, { compiledFor: 2, choice: "few-rows" });
    expect([taken, others], `${given}`).toEqual([expect.stringMatching(/^few-/), []]);
  }
});
