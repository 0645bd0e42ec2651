/**
 * What a training step draws (timestep, label dropout, noise, flips) is the same bits on every adapter, whatever the batch: a sample's
 * numbers follow from seed, step and its own number. So a step of several batches draws what one batch of all their samples draws.
 */
import { expect, test } from "vitest";
import { draw, input } from "../../src/dsl/declare.js";
import { where } from "../../src/dsl/functions.js";
import { trace } from "../../src/dsl/trace.js";
import { passes } from "../../src/passes/index.js";
import { pipeline } from "../../src/passes/pass.js";
import { drawBernoulli, drawBits, drawInt, drawNormal, keyOf, normalTable, purposeOf } from "../../src/program/random.js";
import { requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { bundleOf } from "../gpu/run-module.js";

const [SEED, STEP, FIRST, COUNT] = [2 ** 31 + 7, 12, 1000, 12];
const sizes = { channel: 3, height: 2, width: 5 };
const PIXELS = 30;
const DROP = 0.3;

test("timesteps, dropped labels and noise do not depend on how the samples are cut into batches", async () => {
  const { fn } = trace("main", () => {
    const scalars = {
      seed: input("seed", "", {}, "u32"),
      step: input("step", "", {}, "i32"),
      first: input("first", "", {}, "i32"),
    };
    return {
      t: draw.int("draw.t", "batch", {}, 1000, scalars),
      drop: where(draw.bernoulli("draw.drop", "batch", {}, DROP, scalars), 1, input("none", "batch", {}, "i32")),
      noise: draw.normal("draw.noise", "batch channel height width", sizes, scalars),
    };
  });
  const module = pipeline(passes, { stage: "graph", fns: [fn] }, { options: { maxStorageBuffers: 8, differentiated: true } });
  const table = normalTable();
  const bits = (name: string, sample: number, element = 0) =>
    drawBits(keyOf(SEED, purposeOf(name), STEP), element, FIRST + sample);
  const samples = Array.from({ length: COUNT }, (_, i) => i);
  const expected = {
    t: samples.map((i) => drawInt(bits("draw.t", i), 1000)),
    drop: samples.map((i) => Number(drawBernoulli(bits("draw.drop", i), Math.round(DROP * 2 ** 32)))),
    noise: samples.flatMap((i) =>
      Array.from({ length: PIXELS }, (_, element) => drawNormal(bits("draw.noise", i, element), table)),
    ),
  };
  expect(new Set(expected.t).size).toBeGreaterThan(COUNT / 2);
  expect(new Set(expected.drop).size).toBe(2);

  const dawn = await requestDevice();
  try {
    for (const batch of [COUNT, 1, 3, 4]) {
      const session = await createSession(bundleOf(module, { batch, safe: false }), dawn.device);
      await session.write("draw.normal_table", Int32Array.from(table));
      const got: Record<string, number[]> = { t: [], drop: [], noise: [] };
      for (let from = 0; from < COUNT; from += batch) {
        const scalars = { seed: Uint32Array.of(SEED), step: Int32Array.of(STEP), first: Int32Array.of(FIRST + from) };
        const found = await session.run("main", { ...scalars, none: new Int32Array(batch) });
        for (const [name, data] of Object.entries(found)) got[name]!.push(...(data as ArrayLike<number> & Iterable<number>));
      }
      session.dispose();
      expect(got, `batch ${batch}`).toEqual(expected);
    }
  } finally {
    dawn.dispose();
  }
});
