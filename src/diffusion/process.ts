/**
 * The diffusion process as graph functions: noising, the hybrid loss, guidance. Everything that depends on the timestep comes from one
 * table computed in f64 (schedule.ts) and read by number on the GPU. Formulas: dit-spec of the paper, sections 3.3, 3.4 and 3.8; Ho et
 * al. 2020, Nichol and Dhariwal 2021 (learned variance), Ho and Salimans 2022 (guidance). A step of sampling: reverse-step.ts.
 */
import { table } from "../dsl/declare.js";
import { gather, iota, mean, named, stopGradient, where } from "../dsl/functions.js";
import type { Tensor } from "../dsl/tensor.js";
import type { Schedule } from "./schedule.js";

export type Images = Tensor<"batch channel height width">;
export type PerSample = Tensor<"batch">;
/** A class for each sample; undefined for a model without classes. */
export type Labels = Tensor<"batch", "i32"> | undefined;

/** Columns of the training table, in order. */
const columns = [
  "sqrtAlphasCumprod",
  "sqrtOneMinusAlphasCumprod",
  "sqrtRecipAlphasCumprod",
  "sqrtRecipm1AlphasCumprod",
  "posteriorMeanCoef1",
  "logBetas",
  "posteriorLogVarianceClipped",
] as const;
type Column = (typeof columns)[number];

/** The schedule's numbers at each sample's timestep: t is i32 [batch], each result f32 [batch]. */
export function atTimestep(s: Schedule, t: Tensor<"batch", "i32">): Record<Column, PerSample> {
  const data = new Float64Array(s.length * columns.length);
  columns.forEach((name, c) => {
    for (let i = 0; i < s.length; i++) data[i * columns.length + c] = s[name][i]!;
  });
  const rows = gather(
    table("diffusion.schedule", "timestep column", { timestep: s.length, column: columns.length }, data),
    t,
    "timestep",
  );
  return Object.fromEntries(columns.map((name, c) => [name, rows.select("column", c)])) as Record<Column, PerSample>;
}

/** x_t = √abar x_start + √(1 - abar) noise. */
export function qSample(s: Schedule, xStart: Images, t: Tensor<"batch", "i32">, noise: Images): Images {
  const at = atTimestep(s, t);
  return xStart.mul(at.sqrtAlphasCumprod).add(noise.mul(at.sqrtOneMinusAlphasCumprod));
}

const pixels = "channel height width";

export interface Losses {
  /** Per sample: mean of (noise - eps)². */
  readonly mse: PerSample;
  /** Per sample, in bits, mean over all elements; only with learned sigma. */
  readonly vb?: PerSample;
  /** mse + vb. */
  readonly loss: PerSample;
}

/** The training loss of one batch. `out` is the model's output: eps, and with learned sigma as many channels of v behind it. */
export function hybridLoss(
  s: Schedule,
  out: Images,
  xStart: Images,
  xt: Images,
  noise: Images,
  t: Tensor<"batch", "i32">,
): Losses {
  const channels = xStart.size("channel");
  const eps = out.slice("channel", 0, channels);
  const mse = mean(noise.sub(eps).square(), pixels);
  if (out.size("channel") === channels) return { mse, loss: mse };
  const vb = variationalBound(s, stopGradient(eps), out.slice("channel", channels, 2 * channels), xStart, xt, t);
  return { mse, vb, loss: mse.add(vb) };
}

/** KL of the true posterior against the model's (t > 0), or minus the log-likelihood of x_start in bins of 2/255 (t = 0), in bits. */
function variationalBound(s: Schedule, eps: Images, v: Images, xStart: Images, xt: Images, t: Tensor<"batch", "i32">): PerSample {
  const at = atTimestep(s, t);
  const x0 = xt.mul(at.sqrtRecipAlphasCumprod).sub(eps.mul(at.sqrtRecipm1AlphasCumprod));
  const logVariance = modelLogVariance(v, at.logBetas, at.posteriorLogVarianceClipped);
  // Both means are c1 x0 + c2 x_t, so their difference needs no c2 and loses no digits to it.
  const difference = xStart.sub(x0).mul(at.posteriorMeanCoef1);
  const gap = logVariance.sub(at.posteriorLogVarianceClipped);
  const kl = gap.add(gap.neg().exp()).add(difference.square().mul(logVariance.neg().exp())).sub(1).mul(0.5);
  const nll = discretisedGaussian(xStart, x0, logVariance).neg();
  return where(t.eq(0), mean(nll, pixels), mean(kl, pixels)).mul(1 / Math.LN2);
}

/** f log β + (1 - f) log posterior variance with f = (v + 1) / 2. */
function modelLogVariance(v: Images, logBeta: PerSample, posterior: PerSample): Images {
  const f = v.add(1).mul(0.5);
  return f.mul(logBeta.sub(posterior)).add(posterior);
}

/** log-likelihood of x under a Gaussian, integrated over its byte's bin; the tails take the outer bins. At t = 0 the mean is x0. */
function discretisedGaussian(x: Images, mu: Images, logVariance: Images): Images {
  const scale = logVariance.mul(-0.5).exp();
  const centred = x.sub(mu);
  const hi = gaussianCdf(centred.add(1 / 255).mul(scale));
  const lo = gaussianCdf(centred.sub(1 / 255).mul(scale));
  const floor = (p: Images): Images => p.maximum(1e-12).log();
  return where(x.lt(-0.999), floor(hi), where(x.gt(0.999), floor(lo.neg().add(1)), floor(hi.sub(lo))));
}

/** 0.5 (1 + tanh(√(2/π) (z + 0.044715 z³))): the approximation the published models were trained with. */
const gaussianCdf = (z: Images): Images =>
  z
    .add(z.square().mul(z).mul(0.044715))
    .mul(Math.sqrt(2 / Math.PI))
    .tanh()
    .add(1)
    .mul(0.5);

/**
 * Classifier-free guidance: the model sees every sample twice, with its label and with the null class; eps moves away from the
 * unconditional one by `scale`, on the first `guidedChannels` channels (3 in the official code). v stays conditional.
 */
export function guided(
  model: (x: Images, t: Tensor<"batch", "i32">, y: Labels) => Images,
  x: Images,
  t: Tensor<"", "i32">,
  y: Labels,
  { scale, guidedChannels, nullClass }: { scale: number; guidedChannels: number; nullClass: number },
): Images {
  const batch = x.sizes.batch!;
  const at = (size: typeof batch) => t.expand("batch", { batch: size });
  if (scale === 1 || !y) return model(x, at(batch), y);
  const half = iota("guide", 2);
  const labels = where(half.eq(1).expand("guide batch", { batch }), nullClass, y.expand("guide batch", { guide: 2 }));
  const twice = named(x.expand("guide batch channel height width", { guide: 2 }), "guide batch channel height width").merge(
    "guide batch",
    "batch",
  );
  const both = labels.merge("guide batch", "batch");
  const out = model(twice, at(twice.sizes.batch!), both);
  const halves = splitBatch(out, batch);
  const [conditional, unconditional] = [halves.select("guide", 0), halves.select("guide", 1)];
  const moved = unconditional.add(conditional.sub(unconditional).mul(scale));
  const channel = iota("channel", out.size("channel"));
  return where(channel.lt(Math.min(guidedChannels, x.size("channel"))), moved, conditional);
}

const splitBatch = (out: Images, batch: Images["sizes"][string]) =>
  out.split("batch", "guide batch", { guide: 2, batch } as never) as Tensor<"guide batch channel height width">;
