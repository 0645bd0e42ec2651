/**
 * A hundred training steps, fused and with one op a kernel, stay together as long as f32 lets them.
 *
 * How long is measured on the unfused program alone. It trains again from weights of which each is moved up or down by one unit in the last
 * place; D(s) is the distance of that run from the first after s steps: what becomes, in s steps, of one unit in every weight. Two
 * programs differ by such a unit not once but in each step, each by half a unit when an update is stored and by about another half where
 * products of weights are summed in another order: two programs, two halves, so two units at most, and after t steps they are at most
 * 2 · (D(0) + D(1) + … + D(t)) apart, each unit as old as its step. A loss ends in sums of 64 terms in a row, which may lose half a unit
 * each in both programs: 64 units of the loss. Weights are read after the last step alone; no D of theirs before it is taken to be larger.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import type { Bundle } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { Trainer } from "../../src/trainer/trainer.js";
import { freshWeights } from "../../src/trainer/weights.js";
import { numbers } from "../gpu/numbers.js";
import { distance } from "../strays.js";

const [STEPS, BATCH, PIXELS] = [100, 1, 4 * 8 * 8];
const ULP = 2 ** -23;
const spoiled = "blocks.0.mlp.fc1.weight";

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

type Weights = Map<string, Float32Array>;

/** Fresh weights, but no zeros, behind which a mistake could hide. */
const start = (bundle: Bundle): Weights =>
  new Map(
    [...freshWeights(bundle, 1)].map(([name, data], i) => {
      const noise = numbers(data.length, 7 + i);
      return [name, data.map((x, k) => (x === 0 && name !== "pos_embed" ? 0.2 * noise[k]! : x))];
    }),
  );

/** Every weight one unit in the last place up or down. */
const moved = (weights: Weights, seed: number): Weights =>
  new Map(
    [...weights].map(([name, data], i) => {
      const dice = numbers(data.length, seed + i);
      const bits = new Int32Array(Float32Array.from(data).buffer).map((b, k) => (b === 0 ? 0 : b + (dice[k]! < 0 ? 1 : -1)));
      return [name, new Float32Array(bits.buffer)];
    }),
  );

interface Run {
  readonly losses: readonly number[];
  readonly weights: ReadonlyMap<string, Float32Array>;
}

async function train(trainer: Trainer, weights: Weights, steps = STEPS): Promise<Run> {
  await trainer.reset(weights);
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    await trainer.step({
      x_start: Float32Array.from(numbers(BATCH * PIXELS, 1000 + (step % 5))),
      y: Int32Array.from({ length: BATCH }, (_, i) => (step + i) % 10),
      seed: Uint32Array.of(5),
      first: Int32Array.of(step * BATCH),
    });
    losses.push((await trainer.losses()).loss);
  }
  return { losses, weights: await trainer.weights() };
}

test("a hundred steps, fused and not", async () => {
  const options = { preset: "tiny", batch: BATCH, entries: ["train_step"], set: ["learningRate=1e-3"] };
  const programs = {
    fused: (await compile("models/dit.graph.ts", options)).bundle,
    plain: (await compile("models/dit.graph.ts", { ...options, fused: false })).bundle,
  };
  const weights = start(programs.plain);
  const trainers = {
    fused: await Trainer.create(programs.fused, dawn.device, { batch: BATCH, seed: 1 }),
    plain: await Trainer.create(programs.plain, dawn.device, { batch: BATCH, seed: 1 }),
  };
  try {
    const fused = await train(trainers.fused, weights);
    const plain = await train(trainers.plain, weights);
    const other = await train(trainers.plain, moved(weights, 11));

    let sum = 0;
    const bounds = plain.losses.map((loss, step) => {
      sum += Math.abs(other.losses[step]! - loss);
      return 2 * sum + 64 * ULP * Math.abs(loss);
    });
    const apart = ({ losses }: Run) =>
      losses.flatMap((loss, step) =>
        Math.abs(loss - plain.losses[step]!) <= bounds[step]! ? [] : [`step ${step}: ${loss}, not ${plain.losses[step]}`],
      );
    expect(apart(fused)).toEqual([]);
    for (const [name, data] of plain.weights) {
      const bound = 2 * STEPS * distance(other.weights.get(name)!, data);
      expect(distance(fused.weights.get(name)!, data), name).toBeLessThanOrEqual(bound);
      // The bound must be small beside what training did, or agreement says nothing.
      if (name.endsWith(".weight")) expect(bound, name).toBeLessThan(0.1 * distance(weights.get(name)!, data));
    }
    // A mistake of one part in a thousand in one weight is seen within ten steps.
    const wrong = new Map(weights).set(
      spoiled,
      weights.get(spoiled)!.map((x) => x * 1.001),
    );
    expect(apart(await train(trainers.fused, wrong, 10))).not.toEqual([]);
  } finally {
    trainers.fused.dispose();
    trainers.plain.dispose();
  }
}, 300_000);
