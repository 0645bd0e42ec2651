/**
 * The diffusion process on the host, in f64: noise schedule, respacing, and the coefficients that samplers read.
 *
 * Idea: everything that depends on the timestep alone is a table, computed here once and rounded to f32 when it is put on the GPU.
 * Training and sampling read the same fields; respacing only shortens the tables and keeps a map to the 1000 original timesteps.
 *
 * Sources: DDPM (Ho et al. 2020) for the linear schedule and the posterior, improved DDPM (Nichol and Dhariwal 2021) for respacing
 * and the learned variance's bounds, DDIM (Song et al. 2020), DPM-Solver++ (Lu et al. 2022) as diffusers' multistep scheduler runs it.
 */
import { fail } from "../diagnostics/diagnostic.js";

/** All arrays have one entry per kept timestep, ascending. Index i of a schedule is timestep `timestepMap[i]` of the original process. */
export interface Schedule {
  /** The respacing string it was made from. */
  readonly respacing: string;
  /** Number of steps that stay. */
  readonly length: number;
  /** Original timestep of each index, 0 .. steps-1: what the model is called with. */
  readonly timestepMap: Int32Array;
  readonly betas: Float64Array;
  readonly logBetas: Float64Array;
  /** abar: running product of 1 - beta. */
  readonly alphasCumprod: Float64Array;
  /** [1, abar_0, ...] */
  readonly alphasCumprodPrev: Float64Array;
  /** [abar_1, ..., 0] */
  readonly alphasCumprodNext: Float64Array;
  /** Coefficient of x_start in x_t. */
  readonly sqrtAlphasCumprod: Float64Array;
  /** Coefficient of the noise in x_t. */
  readonly sqrtOneMinusAlphasCumprod: Float64Array;
  readonly logOneMinusAlphasCumprod: Float64Array;
  /** x0 = sqrtRecip * x - sqrtRecipm1 * eps */
  readonly sqrtRecipAlphasCumprod: Float64Array;
  readonly sqrtRecipm1AlphasCumprod: Float64Array;
  /** Variance of q(x_{t-1} | x_t, x_0); 0 at index 0. */
  readonly posteriorVariance: Float64Array;
  /** Its logarithm, with entry 0 replaced by entry 1. */
  readonly posteriorLogVarianceClipped: Float64Array;
  /** Posterior mean = coef1 * x0 + coef2 * x. */
  readonly posteriorMeanCoef1: Float64Array;
  readonly posteriorMeanCoef2: Float64Array;
  /** Variance of a model without learned sigma: betas, with entry 0 replaced by posteriorVariance[1]. */
  readonly fixedLargeVariance: Float64Array;
}

const BETA_FIRST = 1e-4;
const BETA_LAST = 2e-2;
/** With fewer steps the scaled last beta reaches 1, and nothing of the image is left to divide by. */
const FEWEST_STEPS = 21;

/**
 * The linear schedule of `steps` timesteps, thinned by a respacing string: "" (all), "250", "10,15,20" (steps per section) or
 * "ddim50" (a constant whole stride). Errors: DIT4101 (number of steps), DIT4102 (respacing string).
 */
export function schedule(respacing = "", steps = 1000): Schedule {
  if (!Number.isSafeInteger(steps) || steps < FEWEST_STEPS || steps > 1_000_000) {
    fail("DIT4101", `a diffusion process of ${steps} steps cannot be built`, {
      notes: [`expected a whole number from ${FEWEST_STEPS} to 1000000`],
      help: "the paper's process has 1000 steps; use respacing to sample with fewer",
    });
  }
  const map = respace(respacing, steps);
  // Betas of the full process, for 1000 steps from 1e-4 to 2e-2; other lengths keep the total noise.
  const first = (BETA_FIRST * 1000) / steps;
  const stride = ((BETA_LAST * 1000) / steps - first) / (steps - 1);
  const abar = new Float64Array(steps);
  let product = 1;
  for (let t = 0; t < steps; t++) {
    product *= 1 - (first + t * stride);
    abar[t] = product;
  }
  // The kept steps become a process of their own, also when all are kept, so that all strings take the same way.
  const betas = Float64Array.from(map, (t, i) => 1 - abar[t]! / (i === 0 ? 1 : abar[map[i - 1]!]!));
  return arrays(respacing, map, betas);
}

function arrays(respacing: string, timestepMap: Int32Array, betas: Float64Array): Schedule {
  const length = betas.length;
  const alphasCumprod = new Float64Array(length);
  betas.reduce((product, beta, i) => (alphasCumprod[i] = product * (1 - beta)), 1);
  const prev = Float64Array.from(alphasCumprod, (_, i) => (i === 0 ? 1 : alphasCumprod[i - 1]!));
  const posteriorVariance = betas.map((beta, i) => (beta * (1 - prev[i]!)) / (1 - alphasCumprod[i]!));
  const abar = (f: (a: number, i: number) => number): Float64Array => alphasCumprod.map(f);
  return {
    respacing,
    length,
    timestepMap,
    betas,
    logBetas: betas.map((beta) => Math.log(beta)),
    alphasCumprod,
    alphasCumprodPrev: prev,
    alphasCumprodNext: abar((_, i) => alphasCumprod[i + 1] ?? 0),
    sqrtAlphasCumprod: abar((a) => Math.sqrt(a)),
    sqrtOneMinusAlphasCumprod: abar((a) => Math.sqrt(1 - a)),
    logOneMinusAlphasCumprod: abar((a) => Math.log(1 - a)),
    sqrtRecipAlphasCumprod: abar((a) => Math.sqrt(1 / a)),
    sqrtRecipm1AlphasCumprod: abar((a) => Math.sqrt(1 / a - 1)),
    posteriorVariance,
    posteriorLogVarianceClipped: posteriorVariance.map((v, i) => Math.log(i === 0 ? posteriorVariance[1]! : v)),
    posteriorMeanCoef1: betas.map((beta, i) => (beta * Math.sqrt(prev[i]!)) / (1 - alphasCumprod[i]!)),
    posteriorMeanCoef2: betas.map((beta, i) => ((1 - prev[i]!) * Math.sqrt(1 - beta)) / (1 - alphasCumprod[i]!)),
    fixedLargeVariance: betas.map((beta, i) => (i === 0 ? posteriorVariance[1]! : beta)),
  };
}

/** Half to even, as Python rounds: the published step lists depend on it. */
const roundHalfEven = (x: number): number => {
  const down = Math.floor(x);
  return x - down === 0.5 ? down + (down % 2) : Math.round(x);
};

/** The timesteps that a respacing string keeps, ascending. Error: DIT4102, with what would work instead. */
export function respace(respacing: string, steps: number): Int32Array {
  const bad = (found: string, help: string): never =>
    fail("DIT4102", `respacing "${respacing}" of ${steps} steps: ${found}`, {
      notes: ['expected "" (all steps), "250", "10,15,20" (steps in each section) or "ddim50" (a constant stride)'],
      help,
    });
  const text = respacing.trim();
  const kept: number[] = [];
  if (text === "") {
    for (let t = 0; t < steps; t++) kept.push(t);
  } else if (/^ddim\d{1,9}$/.test(text)) {
    const wanted = Number(text.slice(4));
    const stride = [...Array(steps - 1).keys()].map((k) => k + 1).find((k) => Math.ceil(steps / k) === wanted);
    if (stride === undefined) {
      const near = [...new Set([...Array(steps - 1).keys()].map((k) => Math.ceil(steps / (k + 1))))]
        .sort((a, b) => Math.abs(a - wanted) - Math.abs(b - wanted))
        .slice(0, 2);
      return bad(
        `no whole stride gives exactly ${wanted} steps`,
        `use ${near.map((n) => `"ddim${n}"`).join(" or ")}, or "${wanted}" for uneven strides`,
      );
    }
    for (let t = 0; t < steps; t += stride) kept.push(t);
  } else if (/^\d{1,9}(\s*,\s*\d{1,9})*$/.test(text)) {
    const sections = text.split(",").map(Number);
    let start = 0;
    sections.forEach((count, section) => {
      const size = Math.floor(steps / sections.length) + (section < steps % sections.length ? 1 : 0);
      if (count > size) {
        bad(`section ${section + 1} has ${size} steps, ${count} were asked for`, `ask for at most ${size} in this section`);
      }
      const stride = count <= 1 ? 1 : (size - 1) / (count - 1);
      for (let k = 0, at = 0; k < count; k++, at += stride) kept.push(start + roundHalfEven(at));
      start += size;
    });
  } else {
    bad("this is not a respacing", 'write the number of sampling steps, like "250"');
  }
  if (kept.length < 2) bad(`it keeps ${kept.length} of the steps`, "keep two steps or more: one alone has no posterior variance");
  return Int32Array.from(kept);
}

/** Coefficients of one DDIM step at index i: x = x0Coef * x0 + epsCoef * e + sigma * z. */
export interface DdimTable {
  /** sqrt(abar_prev) */
  readonly x0Coef: Float64Array;
  /** sqrt(1 - abar_prev - sigma^2) */
  readonly epsCoef: Float64Array;
  /** 0 at index 0, where the sample is final. */
  readonly sigma: Float64Array;
}

/** DDIM (equation 12 of the paper) over any schedule; eta 0 is deterministic, eta 1 has DDPM's variance. Error: DIT4103. */
export function ddimTable(s: Schedule, eta = 0): DdimTable {
  if (!(eta >= 0 && eta <= 1)) {
    fail("DIT4103", `eta ${eta} is not a share of noise`, { help: "choose 0 (deterministic DDIM) to 1 (as much noise as DDPM)" });
  }
  const sigma = s.alphasCumprod.map((abar, i) => {
    const prev = s.alphasCumprodPrev[i]!;
    return eta * Math.sqrt((1 - prev) / (1 - abar)) * Math.sqrt(1 - abar / prev);
  });
  return {
    x0Coef: s.alphasCumprodPrev.map((prev) => Math.sqrt(prev)),
    epsCoef: s.alphasCumprodPrev.map((prev, i) => Math.sqrt(Math.max(0, 1 - prev - sigma[i]! ** 2))),
    sigma,
  };
}

/**
 * Coefficients of DPM-Solver++ (2M), in the order of execution (k = 0 is the noisiest step):
 * m = x / alpha - (sigma / alpha) eps;   x = xCoef x + mCoef m + lastCoef m_before.
 */
export interface DpmSolverTable {
  readonly length: number;
  /** Original timestep of each executed step, falling. */
  readonly timesteps: Int32Array;
  /** 1 / alpha_k */
  readonly xToM: Float64Array;
  /** -sigma_k / alpha_k */
  readonly epsToM: Float64Array;
  readonly xCoef: Float64Array;
  readonly mCoef: Float64Array;
  /** 0 where the step is of first order (the first and the last). */
  readonly lastCoef: Float64Array;
}

/** How many steps DPM-Solver++ takes: a respacing of one number. It spaces them itself, so nothing else makes sense. Error: DIT4104. */
export function solverSteps(respacing: string, steps = 1000): number {
  const text = respacing.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text);
  return fail("DIT4104", `respacing "${respacing}" does not say how many steps DPM-Solver++ takes`, {
    notes: [`expected one whole number from 1 to ${steps - 1}: it spaces its steps itself, evenly over the ${steps} timesteps`],
    help: "set respacing=20, or 10 for a faster look; sections and ddimN are for ddpm and ddim",
  });
}

/** DPM-Solver++ (2M) with n steps over the original process of `steps` timesteps. Error: DIT4104. */
export function dpmSolverTable(n: number, steps = 1000): DpmSolverTable {
  if (!Number.isSafeInteger(n) || n < 1 || n >= steps) {
    fail("DIT4104", `DPM-Solver++ cannot run ${n} steps over ${steps} timesteps`, {
      help: `choose a whole number from 1 to ${steps - 1}; 10 to 20 are usual`,
    });
  }
  const { alphasCumprod } = schedule("", steps);
  const timesteps = Int32Array.from({ length: n }, (_, k) => roundHalfEven(((n - k) * (steps - 1)) / n));
  const ratio = Array.from(timesteps, (t) => Math.sqrt((1 - alphasCumprod[t]!) / alphasCumprod[t]!));
  ratio.push(0); // after the last step nothing of the noise is left
  const alpha = ratio.map((r) => 1 / Math.sqrt(1 + r * r));
  const sigma = ratio.map((r, k) => r * alpha[k]!);
  const lambda = ratio.map((r) => -Math.log(r)); // alpha / sigma = 1 / r; infinite at the end
  const table = (f: (k: number) => number): Float64Array => Float64Array.from({ length: n }, (_, k) => f(k));
  const main = (k: number): number => -alpha[k + 1]! * Math.expm1(lambda[k]! - lambda[k + 1]!);
  const slope = (k: number): number =>
    k === 0 || k === n - 1 ? 0 : (lambda[k + 1]! - lambda[k]!) / (2 * (lambda[k]! - lambda[k - 1]!));
  return {
    length: n,
    timesteps,
    xToM: table((k) => 1 / alpha[k]!),
    epsToM: table((k) => -sigma[k]! / alpha[k]!),
    xCoef: table((k) => sigma[k + 1]! / sigma[k]!),
    mCoef: table((k) => main(k) * (1 + slope(k))),
    lastCoef: table((k) => (slope(k) === 0 ? 0 : -main(k) * slope(k))),
  };
}
