import { expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { positionTable } from "../../src/diffusion/tables.js";
import { type InitParameter, type InitRule, initialise } from "../../src/trainer/init.js";
import { freshWeights } from "../../src/trainer/weights.js";
import { goldenJson } from "../golden.js";

interface Expected {
  readonly shape: number[];
  readonly rule: "xavier" | "normal" | "zeros" | "ones" | "sincos";
  readonly bound?: number;
  readonly std?: number;
  readonly mean_tol?: number;
  readonly std_rtol?: number;
}

const configs = goldenJson("init.json") as Record<string, { parameters: number; tensors: Record<string, Expected> }>;

/** The model that a name of the file stands for, as settings of models/dit.graph.ts. */
function settingsOf(name: string): { preset: string; set: string[] } {
  const block = name.split(" ")[1];
  return block ? { preset: "tiny", set: ["hiddenSize=48", `block=${block}`] } : { preset: name, set: [] };
}

test.each(Object.keys(configs))("fresh weights of %s follow their rules", { timeout: 60_000 }, async (name) => {
  const { parameters, tensors } = configs[name]!;
  const { bundle } = await compile("models/dit.graph.ts", { ...settingsOf(name), entries: ["forward"] });
  const shapes = bundle.program.parameters.map((p) => [p.name, p.shape] as const);
  expect(Object.fromEntries(shapes)).toEqual(Object.fromEntries(Object.entries(tensors).map(([key, { shape }]) => [key, shape])));
  const weights = freshWeights(bundle, 1234);
  expect([...weights.values()].reduce((sum, values) => sum + values.length, 0)).toBe(parameters);
  for (const [key, expected] of Object.entries(tensors)) {
    const values = weights.get(key)!;
    const n = values.length;
    if (expected.rule === "zeros" || expected.rule === "ones") {
      expect(new Set(values), key).toEqual(new Set([expected.rule === "ones" ? 1 : 0]));
    } else if (expected.rule === "sincos") {
      expect(values).toEqual(Float32Array.from(positionTable(expected.shape[2]!, Math.sqrt(expected.shape[1]!))));
    } else {
      const mean = values.reduce((a, b) => a + b, 0) / n;
      const std = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / n);
      expect(Math.abs(mean), `${key} mean`).toBeLessThanOrEqual(expected.mean_tol!);
      expect(Math.abs(std / expected.std! - 1), `${key} std`).toBeLessThanOrEqual(expected.std_rtol!);
      const largest = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      if (expected.bound !== undefined) expect(largest, `${key} bound`).toBeLessThanOrEqual(Math.fround(expected.bound));
      if (n > 10_000 && expected.bound !== undefined) expect(largest, key).toBeGreaterThan(0.995 * expected.bound);
    }
  }
});

const linear = (name: string): InitParameter => ({ name, shape: [4, 3], init: { rule: "xavier_uniform", fanIn: 3, fanOut: 4 } });

test("a weight depends on seed, name and place alone", () => {
  const both = initialise([linear("a"), linear("b")], 1);
  expect(initialise([linear("b")], 1).get("b")).toEqual(both.get("b"));
  expect(both.get("a")).not.toEqual(both.get("b"));
  expect(initialise([linear("a")], 2).get("a")).not.toEqual(both.get("a"));
  // Pinned: a change here changes what every seed means.
  expect([...both.get("a")!.subarray(0, 3)]).toEqual([0.2479436695575714, 0.565269410610199, -0.6918993592262268]);
});

test("a given table is taken as it is, rounded to f32", () => {
  const init: InitRule = { rule: "table", data: Float64Array.of(0.1, 2) };
  expect(initialise([{ name: "w", shape: [2, 1], init }], 0).get("w")).toEqual(Float32Array.of(0.1, 2));
});

test("wrong rules are refused by name", () => {
  const one =
    (shape: number[], init: InitRule): (() => unknown) =>
    () =>
      initialise([{ name: "w", shape, init }], 0);
  expect(one([2], { rule: "normal", std: -1 })).toThrow(/DIT4202: parameter "w" \[2\]: std is -1/);
  expect(one([2], { rule: "xavier_uniform", fanIn: 0, fanOut: 0 })).toThrow("DIT4202");
  expect(one([1, 15, 64], { rule: "table", data: [] })).toThrow("DIT4202");
  expect(one([1.5], { rule: "zeros" })).toThrow("DIT4202");
  expect(one([3], { rule: "table", data: [1, 2] })).toThrow("its table has 2 numbers");
  expect(() => initialise([linear("a"), linear("a")], 0)).toThrow("DIT4203");
  expect(() => initialise([], -1)).toThrow("DIT4201");
});
