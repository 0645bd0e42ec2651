/** A sampling run on this adapter: what it asks of the device, what previews show, and what is left when it is broken off. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { samplers } from "../../src/diffusion/reverse-step.js";
import type { Bundle } from "../../src/program/program.js";
import { countCalls } from "../../src/runtime/counter.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession, type Session } from "../../src/runtime/session.js";
import { sample } from "../../src/trainer/sampler.js";
import { freshWeights, type Weights } from "../../src/trainer/weights.js";

const STEPS = 8;
const small = [
  ...["inputSize=4", "patchSize=2", "inChannels=1", "hiddenSize=16", "depth=1", "numHeads=2", "mlpRatio=2", "numClasses=3"],
  ...[`respacing=${STEPS}`, "guidance=2", "guidedChannels=1"],
];
const inputs = { y: Int32Array.of(0, 1), seed: Uint32Array.of(5), first: Int32Array.of(0) };

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn?.dispose());

describe.each(samplers)("%s", (sampler) => {
  let bundle: Bundle;
  let weights: Weights;
  let session: Session;
  beforeAll(async () => {
    const set = [...small, `sampler=${sampler}`];
    bundle = (await compile("models/dit.graph.ts", { set, entries: ["sample_step", "sample"] })).bundle;
    // Fresh output layers are zero: the model would say nothing.
    weights = new Map([...freshWeights(bundle, 1)].map(([name, w]) => [name, w.map((x, i) => x + 0.1 * Math.sin(i + 1))]));
    session = await createSession(bundle, dawn.device, { batch: 2 });
    for (const [name, data] of weights) await session.write(name, data as Float32Array<ArrayBuffer>);
  });
  afterAll(() => session?.dispose());

  test("each step is one submit: nothing is made, compiled or read back", async () => {
    const counter = countCalls(dawn.device);
    await session.repeat("sample", inputs);
    const { writeBuffer, ...counts } = counter.counts();
    counter.stop();
    expect(writeBuffer).toBe(Object.keys(inputs).length);
    expect(counts).toEqual({
      createCommandEncoder: STEPS,
      beginComputePass: STEPS,
      submit: STEPS,
      onSubmittedWorkDone: STEPS,
    });
  });

  test("previews are x0 of the steps, and the last x0 is the picture", async () => {
    const init = bundle.program.entries.find(({ name }) => name === "sample")!.segments[0]!.dispatches.length;
    await session.submit("sample", inputs, { until: init });
    const steps: Float32Array[] = [];
    for (let k = 0; k < STEPS; k++) steps.push((await session.run("sample_step", stepInputs(session))).x0 as Float32Array);
    expect(new Set(steps.map(String)).size).toBe(STEPS);

    const looks: Float32Array[] = [];
    const progress: number[] = [];
    await session.repeat("sample", inputs, {
      onStep: (done, total) => progress.push(done / total),
      look: { every: 3, names: ["sample.x0"], see: (seen) => void looks.push(seen["sample.x0"] as Float32Array) },
    });
    expect(progress).toEqual(Array.from({ length: STEPS }, (_, k) => (k + 1) / STEPS));
    expect(looks.length).toBeGreaterThan(0);
    expect(looks.length).toBeLessThanOrEqual(2);
    const places = looks.map((look) => steps.findIndex((x0) => String(x0) === String(look)));
    expect(places[0]).toBeGreaterThanOrEqual(2);
    expect(places).toEqual(places.toSorted((a, b) => a - b));

    const found = await session.read(["sample.x", "sample.x0"]);
    expect(found["sample.x0"]).toEqual(steps.at(-1));
    expect(found["sample.x"]).toEqual(found["sample.x0"]);
  });

  test("a run that is broken off leaves nothing behind", async () => {
    const { x } = await session.run("sample", inputs);
    const stop = new AbortController();
    const broken = session.repeat(
      "sample",
      { ...inputs, seed: Uint32Array.of(6) },
      {
        signal: stop.signal,
        onStep: (done) => done === 3 && stop.abort(),
      },
    );
    await expect(broken).rejects.toMatchObject({ code: "DIT6008" });
    expect((await session.run("sample", inputs)).x).toEqual(x);
  });
});

/** What a single step takes: seed and first where it draws. */
function stepInputs({ program }: Session): Partial<typeof inputs> {
  const { inputs: ports } = program.entries.find(({ name }) => name === "sample_step")!;
  return Object.fromEntries(Object.entries(inputs).filter(([name]) => ports.some((port) => port.name === name)));
}

test("a program without x0 draws, but shows nothing on the way", async () => {
  const { bundle } = await compile("models/dit.graph.ts", { set: [...small, "sampler=ddim"], entries: ["sample"] });
  const entries = bundle.program.entries.map((e) => ({ ...e, outputs: e.outputs.filter(({ name }) => name !== "x0") }));
  const options = {
    bundle: { ...bundle, program: { ...bundle.program, entries } },
    ...{ device: dawn.device, weights: freshWeights(bundle, 1), labels: [0], seed: 1 },
  };
  expect((await sample(options)).images).toHaveLength(16);
  await expect(sample({ ...options, preview: { every: 2, show: async () => {} } })).rejects.toThrow(
    /DIT4220: .*no output "x0"[\s\S]*compile it again/,
  );
});
