/**
 * All sampling runs of the golden data, computed by PyTorch in f64: DDPM, DDIM and DPM-Solver++, with guidance on three channels, on all,
 * and without, with clipping. The noise is given, and x is compared after every step. The programs share all kernels but the last, so
 * what one run has compiled serves the others.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import type { Bundle } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { golden } from "../golden.js";

const runs = golden("sampling");
const weights = golden("model_adaln_zero").weights();

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn?.dispose());

interface Run {
  readonly method: "ddpm" | "ddim" | "dpm";
  readonly respacing: string;
  readonly eta: number;
  readonly cfg: number | null;
  readonly cfg_channels: number | null;
  readonly clip_denoised: boolean;
  readonly timesteps: readonly number[];
}

async function program(run: Run): Promise<Bundle> {
  const set = [
    ...["draws=inputs", `sampler=${run.method === "dpm" ? "dpm_solver++" : run.method}`, `respacing=${run.respacing}`],
    ...[`eta=${run.eta}`, `clipDenoised=${run.clip_denoised}`],
    ...[`guidance=${run.cfg ?? 1}`, `guidedChannels=${run.cfg_channels ?? 3}`],
  ];
  return (await compile("models/dit.graph.ts", { preset: "tiny", set, entries: ["sample_step"], batch: 2 })).bundle;
}

test.each(Object.keys(runs.cases))("%s", async (name) => {
  const run = runs.cases[name]!.params as unknown as Run;
  const bundle = await program(run);
  const session = await createSession(bundle, dawn.device, { batch: 2 });
  for (const [key, { data }] of weights) await session.write(key, data as Float32Array);
  await session.write("x", runs.f32(`${name}/z`));
  // What an earlier run left has no part in this one.
  if (session.names.includes("x0")) await session.write("x0", new Float32Array(runs.f32(`${name}/z`).length).fill(Number.NaN));

  expect([...((await session.read(["sampler.timesteps"]))["sampler.timesteps"] as Int32Array)]).toEqual(run.timesteps);
  const noise = runs.tensors.has(`${name}/noise`) ? runs.f32(`${name}/noise`) : undefined;
  const size = runs.f32(`${name}/z`).length;
  const steps: number[] = [];
  for (let k = 0; k < run.timesteps.length; k++) {
    const given = noise ? { "draw.noise": noise.slice(k * size, (k + 1) * size) } : {};
    const { x } = await session.run("sample_step", { y: runs.i32(`${name}/y`), ...given });
    steps.push(...(x as Float32Array));
  }
  session.dispose();
  expect(runs.check(`${name}/x`, Float32Array.from(steps))).toBeUndefined();
});
