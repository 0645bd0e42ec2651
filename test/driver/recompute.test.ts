// What is computed again has the same bits: a program that fits a budget gives, byte for byte, what the one without a budget gives.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CompileOptions, compile } from "../../src/compile/compile.js";
import type { DitError } from "../../src/diagnostics/diagnostic.js";
import { memoryPlan } from "../../src/program/memory.js";
import { pack } from "../../src/program/pack.js";
import type { Bundle } from "../../src/program/program.js";
import type { TypedArray } from "../../src/runtime/inputs.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { Trainer } from "../../src/trainer/trainer.js";
import { freshWeights } from "../../src/trainer/weights.js";
import { shared } from "../gpu/sample.js";

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn?.dispose());

const BATCH = 8;
const base: CompileOptions = { preset: "tiny", set: ["depth=2"], batch: BATCH };

const compiled = async (entry: string, bytes?: number) =>
  await compile("models/dit.graph.ts", { ...base, entries: [entry], ...(bytes === undefined ? {} : { memory: { bytes } }) });

/** What a session takes. */
const bytesOf = ({ program }: Bundle) => memoryPlan(program, pack(program, BATCH)).total;

/** Fresh output layers are zero, and would hide what is behind them. */
const weightsOf = (bundle: Bundle) =>
  new Map([...freshWeights(bundle, 1)].map(([name, w]) => [name, w.map((x, i) => x + 0.1 * Math.sin(i + 1))] as const));

/** Names whose bytes are not the same. */
const differing = (a: Record<string, TypedArray | Float64Array>, b: Record<string, TypedArray | Float64Array>): string[] =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => {
    const [x, y] = [a[name], b[name]];
    const bytes = (data: TypedArray | Float64Array) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return !x || !y || !bytes(x).equals(bytes(y));
  });

const wave = (n: number, step: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * step));
const x_start = wave(BATCH * 4 * 8 * 8, 0.37);
const y = Int32Array.from({ length: BATCH }, (_, i) => i % 4);

async function tenthLess(): Promise<void> {
  const most = await compiled("loss_and_grad");
  const budget = Math.floor(0.9 * bytesOf(most.bundle));
  const few = await compiled("loss_and_grad", budget);
  expect(bytesOf(few.bundle)).toBeLessThanOrEqual(budget);
  expect(few.report.fitted).toMatchObject([{ bytes: bytesOf(few.bundle), bytesWithout: bytesOf(most.bundle) }]);
  const inputs = { x_start, y, t: Int32Array.from({ length: BATCH }, (_, i) => 100 * i), noise: wave(BATCH * 4 * 8 * 8, 0.61) };
  const outputs = async (bundle: Bundle) => {
    const session = await createSession(bundle, dawn.device, { batch: BATCH });
    for (const [name, data] of weightsOf(bundle)) await session.write(`p.${name}`, data);
    const found = await session.run("loss_and_grad", inputs);
    session.dispose();
    return found;
  };
  const found = await outputs(most.bundle);
  for (const [name, data] of Object.entries(found))
    expect(
      data.some((v) => v !== 0),
      name,
    ).toBe(true);
  expect(differing(await outputs(few.bundle), found)).toEqual([]);
}

async function least(): Promise<void> {
  const states = async (bundle: Bundle) => {
    const trainer = await Trainer.create(bundle, dawn.device, { batch: BATCH, seed: 1 });
    await trainer.reset(weightsOf(bundle));
    for (let step = 0; step < 3; step++)
      await trainer.step({ x_start, y, seed: Uint32Array.of(5), first: Int32Array.of(8 * step) });
    const state = Object.fromEntries(await trainer.snapshot());
    const loss = Float64Array.of((await trainer.losses()).loss);
    trainer.dispose();
    return { ...state, loss };
  };
  const plain = await compiled("train_step");
  const refused: unknown = await compiled("train_step", 1).catch((error: unknown) => error);
  const budget = Number(/--memory (\d+) or more/.exec((refused as DitError).diagnostics[0]!.help!)![1]);
  const lowest = await compiled("train_step", budget);
  expect(bytesOf(lowest.bundle)).toBe(budget);
  expect(differing(await states(lowest.bundle), await states(plain.bundle))).toEqual([]);
}

const cases = [
  ["loss and gradients, a tenth less memory", tenthLess],
  ["three training steps, as little memory as there is", least],
] as const;
for (const [name, run] of shared(cases)) test(name, run);
