/** Configurations: the presets are those of the model file, and shapes give back what they were made of. */
import { expect, test } from "vitest";
import { type DitConfig, guessConfig, nameConfig, parseHints, presets } from "../../src/checkpoints/config.js";
import { officialParameters } from "../../src/checkpoints/layout.js";
import { compile } from "../../src/compile/compile.js";
import { parseSettings } from "../../src/dsl/settings.js";
import { withModel } from "../../src/frontend/load.js";
import { golden } from "../golden.js";

const library = await import("../../src/index.js");
const definition = await withModel("models/dit.graph.ts", { library }, (model) => model.definition);
const shapesOf = (config: DitConfig) => new Map(officialParameters(config).map(({ name, shape }) => [name, { shape }]));

test("the table has the presets of models/dit.graph.ts, with their settings", () => {
  for (const name of Object.keys(definition.presets ?? {})) {
    expect(parseSettings(definition, name).config, name).toMatchObject(presets.get(name) ?? { missing: name });
  }
  const known = new Set(Object.keys(definition.presets ?? {}));
  expect([...presets.keys()].filter((name) => !known.has(name) && !name.endsWith("-512"))).toEqual([]);
});

test.each([
  ["tiny", "adaln_zero"],
  ["fashion", "adaln_zero"],
] as const)("names and shapes are those of the compiled model: %s, %s", async (preset, block) => {
  const { bundle } = await compile("models/dit.graph.ts", { preset, set: [`block=${block}`], entries: ["forward"] });
  const compiled = new Map(bundle.program.parameters.map(({ name, shape }) => [name, shape]));
  const ours = new Map(officialParameters({ ...presets.get(preset)!, block }).map(({ name, shape }) => [name, shape]));
  expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(compiled));
});

test("names and shapes are those of the golden model", () => {
  const shapes = Object.fromEntries(officialParameters(presets.get("tiny")!).map(({ name, shape }) => [name, shape]));
  const weights = golden("model_adaln_zero").weights();
  expect(shapes).toEqual(Object.fromEntries([...weights].map(([name, { shape }]) => [name, shape])));
});

test.each(["adaln_zero", "adaln", "in_context", "cross_attention"] as const)(
  "the block design is known by its names: %s",
  (block) => {
    const config: DitConfig = { ...presets.get("tiny")!, block };
    expect(guessConfig("x", shapesOf(config))).toEqual(config);
  },
);

test("every preset is known by its shapes, the number of heads too", () => {
  for (const [name, config] of presets) {
    const guessed = guessConfig("x", shapesOf(config));
    expect(guessed, name).toEqual(config);
    expect(nameConfig(guessed), name).toEqual({ preset: name, set: {} });
  }
});

test("what differs from a preset is said; what is like none has all its settings", () => {
  const changed = { ...presets.get("DiT-B/4")!, numClasses: 10, inChannels: 3 };
  expect(nameConfig(guessConfig("x", shapesOf(changed)))).toEqual({ preset: "DiT-B/4", set: { inChannels: 3, numClasses: 10 } });
  const odd = { ...presets.get("DiT-B/4")!, hiddenSize: 100, mlpRatio: 3.33 };
  const guessed = guessConfig("x", shapesOf(odd));
  expect(guessed).toMatchObject({ hiddenSize: 100, mlpRatio: 3.33 });
  expect(guessed.numHeads).toBeUndefined();
  expect(nameConfig(guessed).preset).toBeUndefined();
  // Rounded down, a ratio may miss the width that it came from.
  for (let mlp = 1; mlp < 400; mlp++) {
    const { mlpRatio } = guessConfig("x", shapesOf({ ...odd, mlpRatio: (mlp + 0.5) / 100 }));
    expect(Math.trunc(100 * mlpRatio)).toBe(mlp);
  }
});

test("no null class, one class, no classes", () => {
  const ten = { ...presets.get("tiny")!, classDropoutProb: 0 };
  expect(guessConfig("x", shapesOf(ten), { numClasses: 10 })).toMatchObject({ numClasses: 10, classDropoutProb: 0 });
  expect(guessConfig("x", shapesOf(ten))).toMatchObject({ numClasses: 9, classDropoutProb: 0.1 });
  const none = { ...ten, numClasses: 0 };
  expect(guessConfig("x", shapesOf(none))).toMatchObject({ numClasses: 0, classDropoutProb: 0 });
});

test("settings out of all proportion are refused before anything is made of them", () => {
  const shapes = shapesOf(presets.get("tiny")!);
  for (const [key, value] of [
    ["depth", 1e9],
    ["depth", 2.5],
    ["numHeads", 0],
    ["numClasses", 1e12],
    ["inputSize", 60000],
    ["mlpRatio", Number.POSITIVE_INFINITY],
    ["classDropoutProb", 2],
  ] as const) {
    expect(() => guessConfig("x", shapes, { [key]: value }), `${key}=${value}`).toThrow(new RegExp(`DIT4077: x: ${key} is `));
  }
});

test("hints of a command line", () => {
  expect(parseHints("tiny", { numHeads: "8", learnSigma: "false" })).toEqual({
    ...presets.get("tiny"),
    numHeads: 8,
    learnSigma: false,
  });
  expect(() => parseHints("DiT-M/2", {})).toThrow(/DIT4077.*DiT-M/);
  expect(() => parseHints(undefined, { heads: "8" })).toThrow(/DIT4077.*no such setting/);
  expect(() => parseHints(undefined, { numHeads: "many" })).toThrow(/DIT4077.*expected a number/);
});
