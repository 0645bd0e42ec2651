/** Where the configuration of a run comes from, and what is wrong with it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readConfig, resolveConfig, settingsOf } from "../../src/trainer/train-config.js";

const folder = mkdtempSync(join(tmpdir(), "dit-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const write = (text: string): string => {
  const path = join(folder, "train.json");
  writeFileSync(path, text);
  return path;
};
const refusal = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "it was taken",
    (error: Error) => error.message.replaceAll(folder, "FOLDER"),
  );

test("later layers override earlier ones, and settings go key by key", async () => {
  const file = await readConfig(
    write('{ "model": "a.graph.ts", "data": "faces", "steps": 10, "set": { "depth": 2, "learningRate": 0.001 } }'),
  );
  const config = resolveConfig(file, { steps: 20, accumulate: 4, set: { depth: "3" }, seed: undefined });
  expect(config).toMatchObject({ model: "a.graph.ts", data: "faces", steps: 20, batch: 64, seed: 0, flip: true });
  expect(settingsOf(config)).toEqual(["depth=3", "learningRate=0.001", "accumulate=4"]);
  // What a run folder keeps is a file of the same kind.
  expect(await readConfig(write(JSON.stringify(config)))).toEqual(config);
});

test("what is wrong is said", async () => {
  expect(await refusal(readConfig(write('{ "steps": 10,, }')))).toMatch(
    /^error DIT4241: FOLDER\/train.json is not JSON\n {2}note: /,
  );
  expect(await refusal(readConfig(write('{ "steps": 0, "batchs": 3, "flip": "yes", "seed": 4294967296 }')))).toBe(
    [
      "error DIT4241: FOLDER/train.json is not a training configuration",
      "  note: steps: Invalid value: Expected >=1 but received 0",
      "  note: seed: Invalid value: Expected <=4294967295 but received 4294967296",
      '  note: flip: Invalid type: Expected boolean but received "yes"',
      '  note: batchs: Invalid key: Expected never but received "batchs"',
      "  help: its keys are model, preset, set, data, skipBroken, steps, batch, accumulate, memory, dtype, seed, flip, weights, " +
        "logEvery, checkpointEvery, keepLast, keepEvery, sampleEvery, sampleCount, maxBadSteps; schemas/train.schema.json describes them",
    ].join("\n"),
  );
  expect(await refusal(readConfig(join(folder, "nowhere.json")))).toContain("DIT4001: cannot read FOLDER/nowhere.json");
  expect(() => resolveConfig({ model: "a.graph.ts", data: "faces" })).toThrow(
    'error DIT4240: a training run needs "steps", and neither flags nor config have it\n  help: give --steps',
  );
});
