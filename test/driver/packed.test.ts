/**
 * `--dtype f16-weights`: weights that nothing trains lie two in a word, on devices with and without shader-f16. Held against the program
 * that stores f32 and is given the same weights, rounded to f16 beforehand.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { fromHalves, toHalves } from "../../src/program/half.js";
import type { Bundle } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { golden } from "../golden.js";

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn?.dispose());

const file = golden("model_adaln_zero");
/** Two sums of the same numbers in another order, through a whole model. */
const BOUND = 1e-5;

const rounded = (data: Float32Array): Float32Array =>
  fromHalves(toHalves(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)).slice().buffer, data.length);

async function forward(bundle: Bundle, round: (data: Float32Array) => Float32Array) {
  const session = await createSession(bundle, dawn.device, { batch: 4, entries: ["forward"] });
  for (const [name, { data }] of file.weights()) await session.write(name, round(data as Float32Array));
  const inputs = { x: file.f32("forward/x"), t: file.i32("forward/t"), y: file.i32("forward/y") };
  const { out } = (await session.run("forward", inputs)) as { out: Float32Array };
  const name = "blocks.0.mlp.fc1.weight";
  const read = (await session.read([name]))[name] as Float32Array;
  const { memory } = session;
  session.dispose();
  return { out, read, memory };
}

test("forward computes what it computes with weights that are rounded", async () => {
  const options = { preset: "tiny", set: ["draws=inputs", "emaWarmup=off"], batch: 4, entries: ["forward"] };
  const { bundle } = await compile("models/dit.graph.ts", { ...options, dtype: "f16-weights" });
  expect(bundle.program.profile.features).toEqual([]);
  const texts = Object.values(bundle.wgsl);
  expect(texts.filter((text) => text.includes("enable f16;"))).toEqual([]);
  // One by one, and four at a time.
  for (const read of ["= unpack_one(", "unpack_four("])
    expect(texts.some((text) => text.replace(/^fn .*/gm, "").includes(read))).toBe(true);
  const packed = await forward(bundle, (data) => data);
  const wide = await forward((await compile("models/dit.graph.ts", options)).bundle, rounded);
  const largest = wide.out.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  const worst = wide.out.reduce((m, x, i) => Math.max(m, Math.abs(x - packed.out[i]!)), 0);
  expect(worst).toBeLessThanOrEqual(BOUND * largest);
  expect(packed.read).toEqual(wide.read);
  expect(packed.memory.byKind.parameter!).toBeLessThan(0.55 * wide.memory.byKind.parameter!);
});

test("what is trained stays as it is", async () => {
  const { bundle } = await compile("models/dit.graph.ts", {
    preset: "tiny",
    set: ["depth=1"],
    batch: 2,
    entries: ["forward", "train_step"],
    dtype: "f16-weights",
  });
  const trained = bundle.program.parameters.filter(({ trainable }) => trainable);
  expect(trained.filter(({ storage }) => bundle.program.storages[storage]!.dtype === "f16")).toEqual([]);
});
