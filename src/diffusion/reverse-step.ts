/**
 * One step of sampling as a graph function, for each sampler: from x_t and what the model says of it to the next x, and to x_0 as it looks
 * from there. All three samplers begin with x_0 = a x - b eps; they differ in how they go on.
 *
 * Idea: the numbers that a step needs are a row of a table, made in f64 when compiling (schedule.ts) and read by the step counter on the
 * GPU. So the host says nothing between two steps, and a run of 1000 steps is the same program as a run of 10, with a longer table.
 *
 * Formulas: dit-spec of the paper, sections 3.3 and 3.5 to 3.7; Ho et al. 2020 (DDPM), Nichol and Dhariwal 2021 (learned variance), Song
 * et al. 2020 (DDIM), Lu et al. 2022 (DPM-Solver++).
 */
import { table } from "../dsl/declare.js";
import { gather, where } from "../dsl/functions.js";
import type { Tensor } from "../dsl/tensor.js";
import type { Images } from "./process.js";
import { ddimTable, dpmSolverTable, schedule, solverSteps } from "./schedule.js";

export const samplers = ["ddpm", "ddim", "dpm_solver++"] as const;
export type SamplerName = (typeof samplers)[number];

export interface SamplerSettings {
  readonly sampler: SamplerName;
  /** Share of noise in DDIM. */
  readonly eta: number;
  /** Keeps x_0 in -1 … 1. */
  readonly clipDenoised: boolean;
}

/** Whether a step draws noise. */
export const isNoisy = ({ sampler, eta }: SamplerSettings): boolean => sampler === "ddpm" || (sampler === "ddim" && eta > 0);

/** Numbers of the executed steps, the noisiest first. */
export interface StepTable {
  readonly length: number;
  /** What the model is called with. */
  readonly timesteps: ArrayLike<number>;
  /** By name, in the order in which they lie in a row. Each sampler has its own. */
  readonly columns: ReadonlyMap<string, ArrayLike<number>>;
}

/**
 * The steps of a sampler over the process of `steps` timesteps. DDPM and DDIM visit those that the respacing string keeps; DPM-Solver++
 * takes from it how many steps there are, and chooses its own. Errors: DIT4102, DIT4103, DIT4104.
 */
export function stepTable(respacing: string, { sampler, eta }: SamplerSettings, steps = 1000): StepTable {
  if (sampler === "dpm_solver++") {
    const t = dpmSolverTable(solverSteps(respacing, steps), steps);
    const columns = new Map([
      ["x in x0", t.xToM],
      ["eps in x0", t.epsToM.map((c) => -c)],
      ["x", t.xCoef],
      ["x0", t.mCoef],
      ["last x0", t.lastCoef],
    ]);
    return { length: t.length, timesteps: t.timesteps, columns };
  }
  const s = schedule(respacing, steps);
  const start: [string, Float64Array][] = [
    ["x in x0", s.sqrtRecipAlphasCumprod],
    ["eps in x0", s.sqrtRecipm1AlphasCumprod],
  ];
  const columns = new Map([...start, ...(sampler === "ddim" ? ofDdim() : ofDdpm())]);
  // Schedules are ascending, sampling goes down.
  return {
    length: s.length,
    timesteps: s.timestepMap.toReversed(),
    columns: new Map([...columns].map(([name, data]) => [name, data.toReversed()])),
  };

  function ofDdim(): [string, Float64Array][] {
    const t = ddimTable(s, eta);
    return [
      ["x0", t.x0Coef],
      ["eps", t.epsCoef],
      ["noise", t.sigma],
    ];
  }

  function ofDdpm(): [string, Float64Array][] {
    return [
      ["x0", s.posteriorMeanCoef1],
      ["x", s.posteriorMeanCoef2],
      ["log beta", s.logBetas],
      ["posterior log variance", s.posteriorLogVarianceClipped],
      ["fixed log variance", s.fixedLargeVariance.map((v) => Math.log(v))],
      // The last step ends in its mean.
      ["noise", s.betas.map((_, i) => (i > 0 ? 1 : 0))],
    ];
  }
}

/** The row of the step that is being taken. */
export interface StepRow {
  readonly timestep: Tensor<"", "i32">;
  readonly isFirst: Tensor<"", "bool">;
  readonly at: (column: string) => Tensor<"">;
}

export function stepRow({ length, timesteps, columns }: StepTable, step: Tensor<"", "i32">): StepRow {
  const names = [...columns.keys()];
  const data = new Float64Array(length * names.length);
  [...columns.values()].forEach((values, c) => {
    for (let k = 0; k < length; k++) data[k * names.length + c] = values[k]!;
  });
  const row = gather(table("sampler.coefficients", "step column", { step: length, column: names.length }, data), step, "step");
  const timestep = gather(
    table("sampler.timesteps", "step", { step: length }, Float64Array.from(timesteps), "i32"),
    step,
    "step",
  );
  return { timestep, isFirst: step.eq(0), at: (column) => row.select("column", names.indexOf(column)) };
}

/** x_0 as it looks from x_t, with the (guided) model output. */
export function predictedX0({ at }: StepRow, x: Images, out: Images, clip: boolean): Images {
  const x0 = x.mul(at("x in x0")).sub(epsOf(out, x).mul(at("eps in x0")));
  return clip ? x0.maximum(-1).minimum(1) : x0;
}

const epsOf = (out: Images, x: Images): Images => out.slice("channel", 0, x.size("channel"));

/** Mean of x_{t-1}, and with learned sigma its log-variance; without, the variance is fixed, and in the row. Of DDPM's rows. */
export function posterior(
  { at }: StepRow,
  x: Images,
  out: Images,
  x0: Images,
): { readonly mean: Images; readonly logVariance?: Images } {
  const channels = x.size("channel");
  const mean = x0.mul(at("x0")).add(x.mul(at("x")));
  if (out.size("channel") === channels) return { mean };
  const f = out
    .slice("channel", channels, 2 * channels)
    .add(1)
    .mul(0.5);
  return { mean, logVariance: f.mul(at("log beta").sub(at("posterior log variance"))).add(at("posterior log variance")) };
}

export interface Reversed {
  readonly x: Images;
  /** What the picture would be if the model were right now: what a preview shows, and what DPM-Solver++ remembers. */
  readonly x0: Images;
}

/**
 * From x_t to the next x. `noise` is there where `isNoisy`, and has no part in the last step; `last` is the x_0 of the step before, which
 * DPM-Solver++ extrapolates from.
 */
export function reverseStep(
  settings: SamplerSettings,
  row: StepRow,
  x: Images,
  out: Images,
  { noise, last }: { readonly noise?: Images | undefined; readonly last?: Images | undefined },
): Reversed {
  const { at } = row;
  const x0 = predictedX0(row, x, out, settings.clipDenoised);
  const step = { ddpm, ddim, "dpm_solver++": dpmSolver }[settings.sampler];
  return { x: step(), x0 };

  function ddpm(): Images {
    const { mean, logVariance } = posterior(row, x, out, x0);
    if (!noise) return mean;
    if (!logVariance) return mean.add(noise.mul(at("fixed log variance").mul(0.5).exp().mul(at("noise"))));
    return mean.add(logVariance.mul(0.5).exp().mul(noise).mul(at("noise")));
  }

  function ddim(): Images {
    // eps again from x0, which clipping may have moved.
    const e = settings.clipDenoised ? x.mul(at("x in x0")).sub(x0).div(at("eps in x0")) : epsOf(out, x);
    const next = x0.mul(at("x0")).add(e.mul(at("eps")));
    return noise ? next.add(noise.mul(at("noise"))) : next;
  }

  function dpmSolver(): Images {
    const next = x.mul(at("x")).add(x0.mul(at("x0")));
    // Before the first step there is none: what lies there may be of a run that broke off, or no number at all.
    return last ? next.add(where(row.isFirst, 0, last).mul(at("last x0"))) : next;
  }
}
