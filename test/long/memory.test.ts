/**
 * The memory plan, confirmed by the operating system: what a training program takes on a software adapter, whose "GPU memory" is the
 * process's own, is what the packer says.
 *
 * Each test file runs in a process of its own, so nothing of other tests counts. What is fixed is kept out by order: the same program is
 * first loaded twice at batch 1 and trains a step, which starts the driver, compiles all pipelines, fills Dawn's upload rings and leaves
 * the allocator the room that host copies of the weights pass through; garbage is collected before each look. Then it is loaded once more
 * at batch 1 and once at batch 16, all staying alive, and each trains a step, which fills weights, moments and averages and writes every
 * activation. Two things must hold within 5 %: the growth of the process against the plan at batch 16, a session's uniforms and staging
 * buffers included, and the difference of the two growths against the difference of the two plans, in which nothing fixed is left. The
 * look is at resident memory without files and V8's heap: anonymous pages, and shared ones, where lavapipe keeps buffers. The project's
 * environment has MALLOC_MMAP_THRESHOLD_, without which the allocator keeps large blocks that were freed, now and then.
 */
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { pack, peak } from "../../src/program/pack.js";
import type { Bundle } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { Trainer } from "../../src/trainer/trainer.js";

const PIXELS = 4 * 16 * 16;
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

let dawn: DawnDevice;
const trainers: Trainer[] = [];
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => {
  for (const trainer of trainers) trainer.dispose();
  dawn.dispose();
});

/** Bytes of the process that lie in memory, in no file, and are no JavaScript objects. */
async function resident(): Promise<number> {
  // Twice, with a pause: host copies of weights are given back in the background, some only by a second collection.
  for (let i = 0; i < 2; i++) {
    collect();
    await setTimeout(200);
  }
  const text = readFileSync("/proc/self/status", "utf8");
  const bytes = (key: string) => 1024 * Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(text)![1]);
  return bytes("RssAnon") + bytes("RssShmem") - process.memoryUsage().heapTotal;
}

/** Loads the program beside what is loaded, trains a step, and says by how much the process grew. */
async function growth(bundle: Bundle, batch: number): Promise<number> {
  const before = await resident();
  const trainer = await Trainer.create(bundle, dawn.device, { batch, seed: 1 });
  trainers.push(trainer);
  await trainer.step({
    x_start: new Float32Array(batch * PIXELS).fill(0.5),
    y: new Int32Array(batch),
    seed: Uint32Array.of(1),
    first: Int32Array.of(0),
  });
  expect(Number.isFinite((await trainer.losses()).loss)).toBe(true);
  return (await resident()) - before;
}

test("a process grows by the plan", async () => {
  const { bundle } = await compile("models/dit.graph.ts", {
    preset: "small",
    batch: 16,
    entries: ["train_step"],
  });
  const plan = (batch: number) => peak(pack(bundle.program, batch)).total;
  for (let warm = 0; warm < 2; warm++) await growth(bundle, 1);
  const [one, sixteen] = [await growth(bundle, 1), await growth(bundle, 16)];

  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(
    `preset small, a training step: plan ${mb(plan(1))} at batch 1, ${mb(plan(16))} at batch 16; growth ${mb(one)}, ${mb(sixteen)}`,
  );
  expect(plan(16)).toBeLessThanOrEqual(350e6);
  expect(Math.abs(sixteen / plan(16) - 1)).toBeLessThan(0.05);
  expect(Math.abs((sixteen - one) / (plan(16) - plan(1)) - 1)).toBeLessThan(0.05);
});
