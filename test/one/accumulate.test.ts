// A step of several batches is the step of one batch of all their samples.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Compiled, compile } from "../../src/compile/compile.js";
import type { DenseInput } from "../../src/ir/eval.js";
import { dce } from "../../src/passes/dce.js";
import { differentiate } from "../../src/passes/differentiate.js";
import { drawBits, drawNormal, keyOf, normalTable } from "../../src/program/random.js";
import type { Inputs } from "../../src/runtime/inputs.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { Trainer } from "../../src/trainer/trainer.js";
import { freshWeights } from "../../src/trainer/weights.js";
import { distance, strays } from "../strays.js";

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn?.dispose());

const [BATCH, PARTS] = [8, 4];
const normals = normalTable();
const noise = (seed: number, count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => drawNormal(drawBits(keyOf(seed, 1, 0), i, 0), normals));

const dit = {
  file: "models/dit.graph.ts",
  options: {},
  set: [
    ...["inputSize=4", "patchSize=2", "inChannels=1", "hiddenSize=16", "depth=1", "numHeads=2", "mlpRatio=2"],
    ...["numClasses=3", "horizontalFlip=on", "classDropoutProb=0.3", "clipNorm=1", "warmupSteps=10"],
  ],
  losses: ["loss", "mse", "vb"],
};
const mlp = { file: "models/mlp.graph.ts", options: { preset: "tiny" }, set: [], losses: ["loss"] };

describe.each([
  ["a diffusion model", dit],
  ["a classifier", mlp],
])("%s", (_, { file, options, set, losses }) => {
  let one: Trainer;
  let several: Trainer;
  let whole: Compiled;
  beforeAll(async () => {
    whole = await compile(file, { ...options, set, batch: BATCH, entries: ["train_step"] });
    const parts = await compile(file, {
      ...options,
      set: [...set, `accumulate=${PARTS}`],
      batch: BATCH / PARTS,
      entries: ["accumulate", "update"],
    });
    one = await Trainer.create(whole.bundle, dawn.device, { batch: BATCH, seed: 1 });
    several = await Trainer.create(parts.bundle, dawn.device, { batch: BATCH / PARTS, seed: 1 });
    // Fresh output layers are zero and would hide a mistake behind them.
    const start = new Map(
      [...freshWeights(whole.bundle, 1)].map(([name, w]) => [name, w.map((x, i) => x + 0.1 * Math.sin(i + 1))]),
    );
    await one.reset(start);
    await several.reset(start);
  });
  afterAll(() => {
    one?.dispose();
    several?.dispose();
  });

  /** Samples of the stream from `first` on. */
  const samples = (trainer: Trainer, first: number, count: number): Inputs => {
    const ports = new Map(trainer.inputs.map((port) => [port.name, port]));
    const images = ports.has("x_start") ? "x_start" : "x";
    const size = ports
      .get(images)!
      .shape.slice(1)
      .reduce((n: number, s) => n * (s as number), 1);
    return {
      [images]: noise(5, (first + count) * size).slice(first * size),
      y: Int32Array.from({ length: count }, (_, i) => ((first + i) * 7) % 3),
      ...(ports.has("seed") ? { seed: Uint32Array.of(9), first: Int32Array.of(first) } : {}),
    };
  };
  const parts = (step: number): Inputs[] =>
    Array.from({ length: PARTS }, (_, i) => samples(several, step * BATCH + (i * BATCH) / PARTS, BATCH / PARTS));

  test("two steps agree with the reference, as do those of one batch", async () => {
    // What is asked is the gradient: the first moment is linear in it, and the norm and the losses are there as they are.
    const checked = (name: string) => /^[mv]\./.test(name) || losses.includes(name) || name === "gradient_norm";
    const graph = differentiate.run(whole.graph, {});
    const fns = graph.fns.map((fn) => ({ ...fn, results: fn.results.filter(({ name }) => checked(name)) }));
    const module = dce.run({ ...graph, fns }, {});
    for (let step = 0; step < 2; step++) {
      const state = await one.snapshot();
      await several.restore(state);
      const inputs = samples(one, step * BATCH, BATCH);
      const bounds = strays(module, "train_step", operands(whole, state, inputs, BATCH), BATCH);
      await one.step(inputs);
      await several.step(parts(step));
      const [found, summed] = [await one.losses(), await several.losses()];
      for (const [trainer, means] of [
        [one, found],
        [several, summed],
      ] as const) {
        const after = await trainer.snapshot();
        for (const [name, { exact, bound }] of bounds) {
          const known = { ...means, gradient_norm: means.gradientNorm } as unknown as Record<string, number>;
          const data = after.get(name) ?? [known[name]!];
          // Shares are scaled and added where one batch is not: another throw of the dice for each.
          expect(distance(data, exact.data), `step ${step}: ${name}`).toBeLessThanOrEqual(2 * bound);
        }
      }
      expect(Object.keys(summed)).toEqual([...losses, "gradientNorm", "learningRate", "finite"]);
      expect(summed.learningRate).toBe(found.learningRate);
      expect(summed.finite).toBe(true);
      expect(await several.stepCount()).toBe(step + 1);
    }
  });

  test("a step with one bad sample changes nothing, and leaves nothing behind", async () => {
    const before = await several.snapshot();
    const bad = parts(3);
    const images = Object.keys(bad[0]!).find((name) => name.startsWith("x"))!;
    (bad[1]![images] as Float32Array)[3] = Number.NaN;
    await several.step(bad);
    expect(await several.losses()).toMatchObject({ finite: false, learningRate: 0 });
    expect(await several.snapshot()).toEqual(before);

    await several.step(parts(3));
    const [after, found] = [await several.snapshot(), await several.losses()];
    expect(found.finite).toBe(true);
    expect(after).not.toEqual(before);
    // Half a step, then the state of before: the sums begin anew.
    await several.session.submit("accumulate", parts(1)[0]!);
    await several.restore(before);
    await several.step(parts(3));
    expect(await several.snapshot()).toEqual(after);
    expect(await several.losses()).toEqual(found);
  });

  test("another number of batches is refused", async () => {
    await expect(several.step(parts(0).slice(1))).rejects.toThrow("a step takes 4 batches, found 3");
    const before = await several.snapshot();
    const odd = [...parts(0).slice(0, 3), { ...parts(0)[3]!, y: new Int32Array(1) }];
    await expect(several.step(odd)).rejects.toThrow("expected i32 [batch 2] = 2 elements, found 1");
    expect(await several.snapshot()).toEqual(before);
    await several.step(parts(0));
    expect((await several.losses()).finite).toBe(true);
  });

  test("an update is a kernel for the norm, one for the numbers and one a pack", () => {
    const { program } = several.session;
    const update = program.entries.find(({ name }) => name === "update")!;
    const packs = program.storages.filter(({ kind, name }) => kind === "accumulator" && name.startsWith("pack "));
    expect(packs).toHaveLength(1);
    expect(update.segments[0]!.dispatches).toHaveLength(2 + packs.length);
    const { dispatches } = program.entries.find(({ name }) => name === "accumulate")!.segments[0]!;
    // All sums of gradients in one dispatch, and each of the losses.
    expect(dispatches.filter(({ label }) => label.startsWith("accumulate"))).toHaveLength(packs.length + losses.length);
  });
});

/** What the reference takes: constants, state and inputs, each with its shape. */
function operands(
  { bundle, graph }: Compiled,
  state: ReadonlyMap<string, Float32Array | Int32Array>,
  inputs: Inputs,
  batch: number,
): Map<string, DenseInput> {
  const { constants, program } = bundle;
  const tables = new Map(
    program.constants.map(({ name, dtype, shape, offset }) => {
      const bytes = constants.slice(offset, offset + 4 * shape.reduce((a, b) => a * b, 1));
      return [name, dtype === "i32" ? new Int32Array(bytes.buffer) : new Float32Array(bytes.buffer)] as const;
    }),
  );
  const { params } = graph.fns.find(({ name }) => name === "train_step")!;
  return new Map(
    params.map(({ name, value }) => {
      const shape = value.type.shape.map((size) => (typeof size === "number" ? size : batch));
      const data = state.get(name) ?? (inputs[name] as Float32Array | undefined) ?? tables.get(name)!;
      return [name, { shape, data }];
    }),
  );
}
