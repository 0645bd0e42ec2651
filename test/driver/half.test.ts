/**
 * `--dtype f16`: tensors between kernels, and weights that nothing trains, lie in memory in 16 bits; kernels compute in f32. Held against
 * f64 by what the roundings that the IR states come to by themselves, as its evaluator makes them.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Compiled, compile } from "../../src/compile/compile.js";
import { evaluate } from "../../src/ir/eval.js";
import { fromHalves, toHalves } from "../../src/program/half.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession, type Session } from "../../src/runtime/session.js";
import { Trainer } from "../../src/trainer/trainer.js";
import { golden } from "../golden.js";
import { lacksHalves } from "../gpu/halves.js";
import { sample } from "../gpu/sample.js";

const file = golden("model_adaln_zero");
let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

const known = new Map<string, Promise<Compiled>>();
const program = (dtype: "f32" | "f16", ...entries: string[]): Promise<Compiled> => {
  const key = `${dtype} ${entries.join(" ")}`;
  const made =
    known.get(key) ??
    compile("models/dit.graph.ts", { preset: "tiny", set: ["draws=inputs", "emaWarmup=off"], batch: 4, entries, dtype });
  known.set(key, made);
  return made;
};

const open = async (dtype: "f32" | "f16", entry: string): Promise<Session> =>
  createSession((await program(dtype, entry)).bundle, dawn.device, { batch: 4, entries: [entry] });

async function writeWeights(session: Session, prefixes: readonly string[]): Promise<void> {
  for (const [name, { data }] of file.weights()) {
    const sets = prefixes.filter((prefix) => name !== "pos_embed" || prefix === "" || prefix === "p.");
    for (const prefix of sets) await session.write(prefix + name, data as Float32Array);
  }
}

const largest = (a: ArrayLike<number>): number => Array.from(a).reduce((m, x) => Math.max(m, Math.abs(x)), 0);
const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number => largest(Array.from(a, (x, i) => x - (b[i] ?? Number.NaN)));

const offered = (): boolean => dawn.device.features.has("shader-f16");

test("the device has it where it is said to, and lavapipe does", () => {
  expect(offered()).toBe(!lacksHalves);
  if (process.env.DIT_TEST_PROJECT?.startsWith("lavapipe")) expect(lacksHalves).toBe(false);
});

test.runIf(lacksHalves)("a device without shader-f16 is refused, with what to do", async () => {
  const made = open("f16", "forward");
  await expect(made).rejects.toMatchObject({ code: "DIT6002", message: expect.stringContaining("no feature shader-f16") });
  await expect(made).rejects.toMatchObject({ help: expect.stringContaining("--dtype f16") });
});

describe.runIf(!lacksHalves)("with shader-f16", () => {
  test("forward is as far from f64 as its roundings, and the same each time", async () => {
    const { kernels } = await program("f16", "forward");
    const session = await open("f16", "forward");
    await writeWeights(session, [""]);
    const inputs = { x: file.f32("forward/x"), t: file.i32("forward/t"), y: file.i32("forward/y") };
    const { out } = await session.run("forward", inputs);
    const again = await session.run("forward", inputs);
    expect(again.out).toEqual(out);

    const fn = kernels.fns.find((f) => f.name === "forward")!;
    const tables = (await program("f16", "forward")).bundle;
    const given = new Map(
      fn.params.map(({ name, value: { type } }) => {
        const shape = type.shape.map((size) => (typeof size === "number" ? size : 4));
        const table = tables.program.constants.find((c) => c.name === name);
        const count = shape.reduce((n, size) => n * size, 1);
        const data =
          inputs[name as keyof typeof inputs] ??
          file.weights().get(name)?.data ??
          new Float32Array(tables.constants.slice(table!.offset, table!.offset + 4 * count).buffer);
        return [name, { shape, data: Float64Array.from(data as Float32Array) }];
      }),
    );
    const simulated = evaluate(kernels, "forward", given, { batch: 4, precision: "f32" }).get("out")!.data;
    const exact = file.f32("forward/out");
    const scale = largest(exact);
    const roundings = apart(simulated, exact) / scale;
    expect(roundings).toBeGreaterThan(2 ** -13);
    expect(apart(out as Float32Array, exact) / scale).toBeLessThan(2 * roundings);
    session.dispose();
  });

  const designs = sample("half", ["workgroup-64x64", "workgroup-32x32-k8", "register-4x4", "few-rows", "subgroup-inline"], 1);
  test.each(designs)("other designs of the products agree: %s", async (matmul) => {
    const set = ["draws=inputs", "emaWarmup=off"];
    const options = { preset: "tiny", set, batch: 4, entries: ["forward"], dtype: "f16" as const, choices: { matmul } };
    const { bundle } = await compile("models/dit.graph.ts", options);
    const session = await createSession(bundle, dawn.device, { batch: 4, entries: ["forward"] });
    await writeWeights(session, [""]);
    const inputs = { x: file.f32("forward/x"), t: file.i32("forward/t"), y: file.i32("forward/y") };
    const { out } = await session.run("forward", inputs);
    // Twice what the default's test finds: both are as far from f64 as that.
    expect(apart(out as Float32Array, file.f32("forward/out")) / largest(file.f32("forward/out"))).toBeLessThan(2 ** -9);
    session.dispose();
  });

  test("weights are written and read as f32 and kept in half the memory", async () => {
    const [narrow, wide] = [await open("f16", "forward"), await open("f32", "forward")];
    await writeWeights(narrow, [""]);
    const name = "blocks.0.mlp.fc1.weight";
    const data = file.weights().get(name)!.data as Float32Array;
    expect(narrow.bytesOf(name)).toBe(4 * data.length);
    const bytes = toHalves(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    expect((await narrow.read([name]))[name]).toEqual(fromHalves(bytes.slice().buffer, data.length));
    const weights = (s: Session) =>
      s.program.storages.flatMap((x) => (x.kind === "parameter" && !x.within ? [x.bytes as number] : []));
    const sum = (s: Session) => weights(s).reduce((a, b) => a + b, 0);
    // Packs are filled up to 256 bytes a weight.
    expect(sum(narrow)).toBeLessThan(0.52 * sum(wide));
    expect(narrow.memory.total).toBeLessThan(wide.memory.total);
    for (const s of [narrow, wide]) s.dispose();
  });

  test("five steps lose what f32 loses", async () => {
    const session = await open("f16", "train_step");
    await writeWeights(session, ["p.", "ema."]);
    const size = file.f32("train/x0").length / 5;
    const losses: number[] = [];
    for (let step = 0; step < 5; step++) {
      const part = <T extends Float32Array | Int32Array>(data: T, each: number) =>
        data.slice(step * each, (step + 1) * each) as T;
      const out = await session.run("train_step", {
        x_start: part(file.f32("train/x0"), size),
        "draw.noise": part(file.f32("train/noise"), size),
        "draw.t": part(file.i32("train/t"), 4),
        "draw.drop": part(file.i32("train/drop"), 4),
        y: part(file.i32("train/y"), 4),
      });
      losses.push((out.loss as Float32Array)[0]!);
      expect([...(out.loss_scale as Float32Array), ...(out.step as Int32Array)]).toEqual([2 ** 16, step + 1]);
    }
    // A thousandth: the roundings of f16 are half of that.
    expect(apart(losses, file.f32("train/losses")) / largest(file.f32("train/losses"))).toBeLessThan(2 ** -10);
    session.dispose();
  });

  test("a scale that is too large is halved until gradients are finite, and no weight moves before", async () => {
    const { bundle } = await program("f16", "train_step");
    const weights = new Map([...file.weights()].map(([name, { data }]) => [name, data as Float32Array]));
    const trainer = await Trainer.create(bundle, dawn.device, { batch: 4, seed: 0, weights });
    expect(trainer.stateNames).toEqual(expect.arrayContaining(["loss_scale_exponent", "loss_scale_steps"]));
    const part = (name: string, count: number) => file.f32(name).slice(0, count);
    const inputs = {
      x_start: part("train/x0", file.f32("train/x0").length / 5),
      "draw.noise": part("train/noise", file.f32("train/x0").length / 5),
      "draw.t": file.i32("train/t").slice(0, 4),
      "draw.drop": file.i32("train/drop").slice(0, 4),
      y: file.i32("train/y").slice(0, 4),
    };
    await trainer.session.write("loss_scale_exponent", Int32Array.of(8));
    const before = await trainer.weights();
    let exponent = 8;
    for (;;) {
      await trainer.step(inputs);
      const { lossScale, finite, gradientNorm } = await trainer.losses();
      expect(lossScale).toBe(2 ** (16 + exponent));
      const state = await trainer.session.read(["loss_scale_exponent", "loss_scale_steps", "step"]);
      const now = Object.values(state).map(([x]) => x);
      if (finite) {
        expect(exponent, "the largest scale was not too large").toBeLessThan(8);
        expect(now).toEqual([exponent, 1, 1]);
        expect(gradientNorm).toBeGreaterThan(0);
        break;
      }
      expect(now).toEqual([--exponent, 0, 0]);
      expect(await trainer.weights()).toEqual(before);
      expect(exponent, "no scale is small enough").toBeGreaterThan(-16);
    }
    expect(await trainer.weights()).not.toEqual(before);

    // The scale is state: who puts a state back goes on with the same bits.
    const state = await trainer.snapshot();
    await trainer.step(inputs);
    const after = await trainer.snapshot();
    await trainer.restore(state);
    await trainer.step(inputs);
    expect(await trainer.snapshot()).toEqual(after);
    expect(after.get("loss_scale_steps")).toEqual(Int32Array.of(2));
    trainer.dispose();
  });
});
