/**
 * Models that nobody has chosen, on this driver against the f64 reference of the traced graph: a sample of DiT's settings, and sequences
 * whose length divides by nothing, forward and backward, as far as f32 can tell (test/strays.ts).
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { differentiate } from "../../src/passes/differentiate.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { sample } from "../../src/trainer/sampler.js";
import { freshWeights } from "../../src/trainer/weights.js";
import { asSettings, ditConfigs } from "../dit-configs.js";
import { inputsOf, runEntry } from "../gpu/model-inputs.js";
import { shared } from "../gpu/sample.js";
import { distance, strays } from "../strays.js";

const batch = 3;
let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

/** All results of an entry with these settings. */
async function follows(file: string, set: readonly string[], entry: string, classes: number, preset?: string): Promise<void> {
  const compiled = await compile(file, { ...(preset ? { preset } : {}), set, batch, entries: [entry] });
  const values = inputsOf(compiled, entry, batch, Math.max(1, classes));
  const expected = strays(differentiate.run(compiled.graph, {}), entry, values, batch);
  const got = await runEntry(compiled, entry, values, dawn.device, batch);
  expect(Object.keys(got).sort()).toEqual([...expected.keys()].sort());
  for (const [name, { exact, bound }] of expected)
    expect(distance(got[name]!, exact.data), `${entry}, ${name}`).toBeLessThanOrEqual(bound);
}

test.each(shared(ditConfigs()))("%j", (config) =>
  follows("models/dit.graph.ts", asSettings(config), "forward", config.numClasses, "tiny"),
);

// 16 and 49 tokens of the image, and of the condition one without classes and two with them.
test.each(
  shared([
    [17, 8, 0],
    [18, 8, 5],
    [51, 14, 5],
    [50, 14, 0],
  ] as const),
)("in context, %d tokens, with gradients", async (_tokens, inputSize, numClasses) => {
  const small = ["block=in_context", "hiddenSize=24", "numHeads=2", "depth=1", "inChannels=1", "mlpRatio=2", "guidance=1"];
  const set = [...small, `inputSize=${inputSize}`, `numClasses=${numClasses}`];
  await follows("models/dit.graph.ts", set, "loss_and_grad", numClasses, "tiny");
});

test.each(shared([17, 50, 77]))("a sequence of %d, with gradients", (length) =>
  follows("test/models/sequence.graph.ts", [`length=${length}`], "loss_and_grad", 3),
);

test("a model without classes draws as many images as it is asked for, and knows no class", async () => {
  const set = ["numClasses=0", "guidance=1", "respacing=3", "hiddenSize=16", "depth=1", "inChannels=1"];
  const { bundle } = await compile("models/dit.graph.ts", { preset: "tiny", set, batch: 2, entries: ["sample"] });
  const options = { bundle, device: dawn.device, weights: freshWeights(bundle, 1), seed: 3, batch: 2 };
  const { images, shape } = await sample({ ...options, labels: [0, 0, 0] });
  expect(shape).toEqual([3, 1, 8, 8]);
  const size = images.length / 3;
  expect(images.slice(0, size)).not.toEqual(images.slice(size, 2 * size));
  await expect(sample({ ...options, labels: [1] })).rejects.toThrow(/DIT4221: class 1 does not exist\n.*leave the class out/);
});
