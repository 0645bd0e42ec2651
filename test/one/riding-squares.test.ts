/**
 * A model whose gradients are more packs than one kernel can bind: the products that make them add up the squares of most of them, so that
 * beside the updates of the packs there are two dispatches. Its program is held against the same model with few packs, the reference, and
 * what must not be taken.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { check, refuseWrong } from "../../src/check/index.js";
import { type CompileOptions, compile } from "../../src/compile/compile.js";
import { type Bundle, SQUARES_BESIDE, webLimits } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { findNonFinite, sentencesOf } from "../../src/trainer/blame.js";
import { Trainer } from "../../src/trainer/trainer.js";
import { freshWeights } from "../../src/trainer/weights.js";

const BATCH = 2;
const set = ["side=6", "patchSize=2", "width=64", "depth=5", "numHeads=2", "numClasses=4", "learningRate=1e-2", "clipNorm=1"];
/** The widest layer fills a pack. */
const limits = { ...webLimits, maxStorageBufferBindingSize: 4 * 64 * 256 };
const small = { name: "small bindings", features: [], variants: true, limits };

const compiled = async (more: Partial<CompileOptions> = {}): Promise<Bundle> =>
  (await compile("models/vit.graph.ts", { set, batch: BATCH, entries: ["train_step"], target: small, ...more })).bundle;

/** How many packs a program has, what comes after the last gradient beside their updates, and how many kernels add up squares. */
function counted({ program }: Bundle) {
  const dispatches = program.entries.at(-1)!.segments.flatMap((s) => s.dispatches);
  const packs = program.storages.filter(({ kind, name }) => kind === "parameter" && name.startsWith("pack ")).length;
  const norm = dispatches.findIndex(({ label }) => label.startsWith("sum_of_squares"));
  const beside = (id: number) => program.storages[id]!.name === SQUARES_BESIDE;
  const riders = dispatches.slice(0, norm).filter(({ bindings }) => bindings.some(beside)).length;
  return { packs, others: dispatches.length - norm - packs, riders };
}

/** The program with one text for each sum of squares, which every device takes. */
function withVariant({ program, ...rest }: Bundle, taken: string): Bundle {
  const kernels = program.kernels.map((kernel) => {
    if (kernel.family !== "squares") return kernel;
    const variants = kernel.variants.filter(({ name }) => name === taken).map((v) => ({ ...v, requires: {} }));
    expect(variants).toHaveLength(1);
    return { ...kernel, variants };
  });
  return { ...rest, program: { ...program, kernels } };
}

describe("dispatches", () => {
  test("sixteen packs take two more than there are packs", async () => {
    expect(counted(await compiled())).toEqual({ packs: 16, others: 2, riders: 20 });
  });
  test("naive kernels alone, and sums of several batches, take one for each seven packs", async () => {
    expect(counted(await compiled({ safe: true }))).toEqual({ packs: 16, others: 4, riders: 0 });
    const several = await compiled({ set: [...set, "accumulate=2"], entries: ["accumulate", "update"] });
    expect(counted(several)).toEqual({ packs: 16, others: 4, riders: 0 });
  });
  test("nothing rides where one kernel sees all", async () => {
    const limits = { ...small.limits, maxStorageBufferBindingSize: 4 * 64 * 256 * 3 };
    expect(counted(await compiled({ target: { ...small, limits } }))).toEqual({ packs: 6, others: 2, riders: 0 });
  });
  test("what is chosen for the products changes none of them", async () => {
    const found = counted(await compiled());
    for (const matmul of ["few-rows", "subgroup-wide"])
      expect(counted(await compiled({ choices: { matmul } })), matmul).toEqual(found);
  });
});

describe("on a device", () => {
  let dawn: DawnDevice;
  let bundle: Bundle;
  let trainer: Trainer;
  let start: Map<string, Float32Array>;
  beforeAll(async () => {
    dawn = await requestDevice();
    bundle = await compiled();
    trainer = await Trainer.create(bundle, dawn.device, { batch: BATCH, seed: 1 });
    // Fresh output layers are zero and would hide a mistake behind them.
    start = new Map([...freshWeights(bundle, 1)].map(([name, w]) => [name, w.map((x, i) => x + 0.02 * Math.sin(i + 1))]));
  });
  afterAll(() => {
    trainer?.dispose();
    dawn?.dispose();
  });

  const batchOf = (step: number) => ({
    x: Float32Array.from({ length: BATCH * 36 }, (_, i) => Math.sin(i * (step + 1))),
    y: Int32Array.from({ length: BATCH }, (_, i) => (i + step) % 4),
  });
  const run = async (on: Trainer, from: number, until: number) => {
    const norms: number[] = [];
    for (let step = from; step < until; step++) {
      await on.step(batchOf(step));
      norms.push((await on.losses()).gradientNorm);
    }
    return norms;
  };

  test("every dispatch is right, the norm against the squares of all gradients", async () => {
    const checking = check(bundle, { samples: 8 });
    await trainer.reset(start);
    await trainer.step(batchOf(0), checking.through);
    refuseWrong(checking.checked());
    expect((await trainer.losses()).finite).toBe(true);
  });

  test("so is the norm as a GPU takes it, of what products have added up too", async () => {
    const checking = check(withVariant(bundle, "group-256"), { samples: 2 });
    const other = await Trainer.create(withVariant(bundle, "group-256"), dawn.device, { batch: BATCH, seed: 1 });
    try {
      await other.reset(start);
      await other.step(batchOf(0), checking.through);
      refuseWrong(checking.checked());
      expect((await other.losses()).finite).toBe(true);
    } finally {
      other.dispose();
    }
  });

  test("so is each of several kernels that add to what the one before left", async () => {
    const several = await compiled({ set: [...set, "accumulate=2"], entries: ["accumulate", "update"] });
    const checking = check(several, { samples: 2 });
    const other = await Trainer.create(several, dawn.device, { batch: BATCH, seed: 1 });
    try {
      await other.reset(start);
      await other.step([batchOf(0), batchOf(1)], checking.through);
      refuseWrong(checking.checked());
      expect((await other.losses()).finite).toBe(true);
    } finally {
      other.dispose();
    }
  });

  test("the norm and the moments are those of the program in which nothing rides", async () => {
    const plain = await Trainer.create(await compiled({ target: "web" }), dawn.device, { batch: BATCH, seed: 1 });
    try {
      await trainer.reset(start);
      await plain.reset(start);
      const [[norm], [expected]] = [await run(trainer, 0, 1), await run(plain, 0, 1)];
      // Of terms of one sign in another order: at most as many roundings as the longest chain of additions has.
      const rounding = 256 * 2 ** -24;
      expect(norm, "clipped").toBeGreaterThan(1);
      expect(Math.abs(norm! / expected! - 1)).toBeLessThan(rounding);
      const [found, right] = [await trainer.snapshot(), await plain.snapshot()];
      for (const [name, data] of right) {
        // Products do the same as without; what differs is by how much the gradients are clipped.
        if (!name.startsWith("m.")) continue;
        const apart = data.findIndex((x, i) => !(Math.abs(found.get(name)![i]! - x) <= 2 * rounding * Math.abs(x)));
        expect(apart, name).toBe(-1);
      }
    } finally {
      plain.dispose();
    }
  });

  test("what goes on from a state ends with the bits of what never stopped", async () => {
    await trainer.reset(start);
    await run(trainer, 0, 2);
    const state = await trainer.snapshot();
    const norms = await run(trainer, 2, 4);
    const end = await trainer.snapshot();
    const other = await Trainer.create(bundle, dawn.device, { batch: BATCH, seed: 1 });
    try {
      await other.restore(state);
      expect(await run(other, 2, 4)).toEqual(norms);
      expect(await other.snapshot()).toEqual(end);
    } finally {
      other.dispose();
    }
  });

  test("a gradient that is not finite, or its square, changes nothing, and is named", async () => {
    await trainer.reset(start);
    const clean = await trainer.snapshot();
    const refused = async (change: (weight: Float32Array) => void, name: string) => {
      const state = new Map([...clean].map(([key, data]) => [key, data.slice()]));
      change(state.get(`p.${name}`) as Float32Array);
      await trainer.restore(state);
      const inputs = batchOf(0);
      await trainer.step(inputs);
      expect((await trainer.losses()).finite).toBe(false);
      expect(await trainer.snapshot()).toEqual(state);
      return sentencesOf(await findNonFinite({ device: dawn.device, batch: BATCH, bundle, state, inputs: [inputs] }));
    };
    expect((await refused((w) => w.fill(Number.NaN, 7, 8), "blocks.2.fc2.weight"))[0]).toBe(
      `weight "blocks.2.fc2.weight" has NaN at element 7; 1 of ${64 * 256} are not finite`,
    );
    // Gradients of some 1e22, whose squares are more than f32 has: those of the products, whose sums are not what is to blame.
    const steep = await refused((w) => {
      for (const [i, x] of w.entries()) w[i] = 1e22 * x;
    }, "head.weight");
    expect(steep[0]).toMatch(
      /^the first bad value: "sum_of_squares of \d+ gradients", .* gave Infinity at element \d+; \d+ of 128/,
    );
  });
});
