/**
 * What a diffusion model is for, as entries: forward, loss_and_grad, train_step (or accumulate and update), sample_step, and the schedule
 * `sample`. The model takes x [batch channel height width], t and y [batch] i32 and gives `out`: the predicted noise, and the variance in
 * as many channels again where it learns sigma. Its config has numClasses and classDropoutProb; the null class is number numClasses. With
 * numClasses 0 there is no y, in the model or in any entry, and no guidance.
 */
import { type DrawKey, draw, input } from "../dsl/declare.js";
import { demandInputs, demandNumbers, demandOut } from "../dsl/demands.js";
import { mean, scalar, where } from "../dsl/functions.js";
import {
  type ConfigValue,
  type EntrySpec,
  type Objective,
  oneOf,
  type Schedule as Segments,
  type TracedModel,
} from "../dsl/model.js";
import type { AnyTensor, Tensor } from "../dsl/tensor.js";
import { trainingEntries } from "../training/entries.js";
import { gradientResults, optimizerConfig, optimizerProblem, stepCounter } from "../training/gradient.js";
import type { OptimizerSettings } from "../training/optimizer.js";
import { guided, hybridLoss, type Images, type Labels, qSample } from "./process.js";
import { isNoisy, reverseStep, type SamplerSettings, samplers, stepRow, stepTable } from "./reverse-step.js";
import { schedule } from "./schedule.js";

const config = {
  ...optimizerConfig,
  /** "inputs": random draws are inputs named draw.t, draw.drop, draw.noise, draw.flip. */
  draws: oneOf("generated", "inputs"),
  /** Training mirrors every other image, drawn anew at each step. */
  horizontalFlip: false,
  sampler: oneOf(...samplers),
  /** Timesteps that sampling visits: "" for all, "250", "10,15,20", "ddim50". For dpm_solver++ one number, how many steps it takes. */
  respacing: "250",
  /** Share of noise in DDIM: 0 is deterministic. */
  eta: 0,
  clipDenoised: false,
  /** Guidance scale; 1: none, one forward pass instead of two. */
  guidance: 4,
  /** Channels of the noise that are guided; the official code guides three. */
  guidedChannels: 3,
};

interface DiffusionConfig extends OptimizerSettings, SamplerSettings {
  readonly numClasses: number;
  readonly classDropoutProb: number;
  readonly draws: "generated" | "inputs";
  readonly horizontalFlip: boolean;
  readonly respacing: string;
  readonly guidance: number;
  readonly guidedChannels: number;
}

const timesteps = 1000;

function entries(model: TracedModel, values: Readonly<Record<string, ConfigValue>>): readonly EntrySpec[] {
  const c = values as unknown as DiffusionConfig;
  demandNumbers("diffusion", model, {
    numClasses: "how many classes there are",
    classDropoutProb: "the share of samples that are trained without their class",
  });
  const classes = c.numClasses > 0;
  demandInputs("diffusion", model, {
    x: ["f32", "batch channel height width"],
    t: ["i32", "batch"],
    ...(classes ? { y: ["i32", "batch"] } : {}),
  });
  const process = schedule("", timesteps);
  const { type } = model.inputs.x!;
  const sizes = { channel: type.shape[1] as number, height: type.shape[2] as number, width: type.shape[3] as number };
  const images = (name: string, kind: "input" | "state" = "input"): Images =>
    input(name, "batch channel height width", sizes, "f32", kind);
  const labels = (): Labels => (classes ? input("y", "batch", {}, "i32") : undefined);
  const ofOut = { channel: [sizes.channel, 2 * sizes.channel], height: [sizes.height], width: [sizes.width] };
  const run = (x: Images, t: AnyTensor, y: Labels): Images =>
    demandOut("diffusion", model, model.forward({ x, t, ...(y ? { y } : {}) }), "batch channel height width", ofOut);
  /** Seed and first sample are inputs only where something is drawn. */
  const keyAt = (step: Tensor<"", "i32">): DrawKey =>
    c.draws === "inputs"
      ? { seed: scalar(0, "u32"), step, first: scalar(0, "i32") }
      : { seed: input("seed", "", {}, "u32"), step, first: input("first", "", {}, "i32") };

  const losses = (xStart: Images, t: Tensor<"batch", "i32">, y: Labels, noise: Images) => {
    const xt = qSample(process, xStart, t, noise);
    const { mse, vb, loss } = hybridLoss(process, run(xt, t, y), xStart, xt, noise, t);
    return { mse, ...(vb ? { vb } : {}), loss: mean(loss, "batch") };
  };

  /** Every other image mirrored, by chance. */
  const mirrored = (x: Images, key: DrawKey): Images =>
    c.horizontalFlip ? where(draw.bernoulli("draw.flip", "batch", {}, 0.5, key), x.reverse("width"), x) : x;

  const forward = () => model.forward(model.declare());

  const lossAndGrad = () => {
    const result = losses(images("x_start"), input("t", "batch", {}, "i32"), labels(), images("noise"));
    return { ...result, ...gradientResults(result.loss) };
  };

  const trained = () => {
    const given = images("x_start");
    const key = keyAt(stepCounter());
    const xStart = mirrored(given, key);
    const t = draw.int("draw.t", "batch", {}, timesteps, key);
    const noise = draw.normal("draw.noise", "batch channel height width", sizes, key);
    const y = labels();
    const label: Labels =
      y && c.classDropoutProb > 0 ? where(draw.bernoulli("draw.drop", "batch", {}, c.classDropoutProb, key), c.numClasses, y) : y;
    const { loss, mse, vb } = losses(xStart, t, label, noise);
    return { loss, mse: mean(mse, "batch"), ...(vb ? { vb: mean(vb, "batch") } : {}) };
  };

  const sampling = stepTable(c.respacing, c, timesteps);
  const guidance = {
    scale: classes && c.classDropoutProb > 0 ? c.guidance : 1,
    guidedChannels: c.guidedChannels,
    nullClass: c.numClasses,
  };

  const sampleStep = () => {
    const x = images("x", "state");
    const step = input("step", "", {}, "i32", "state");
    const row = stepRow(sampling, step);
    const out = guided(run, x, row.timestep, labels(), guidance);
    const noise = isNoisy(c) ? draw.normal("draw.noise", "batch channel height width", sizes, keyAt(step)) : undefined;
    const last = c.sampler === "dpm_solver++" ? images("x0", "state") : undefined;
    return { ...reverseStep(c, row, x, out, { noise, last }), step: step.add(1) };
  };

  const sampleInit = () => {
    const x = draw.normal("draw.z", "batch channel height width", sizes, keyAt(scalar(0, "i32")));
    // Declared so that the first step overwrites what the last run left.
    images("x", "state");
    input("step", "", {}, "i32", "state");
    return { x, step: scalar(0, "i32") };
  };

  return [
    { name: "forward", build: forward },
    { name: "loss_and_grad", build: lossAndGrad },
    ...trainingEntries(c, model, trained),
    { name: "sample_step", build: sampleStep },
    ...(c.draws === "inputs" ? [] : [{ name: "sample_init", internal: true, build: sampleInit }]),
  ];
}

function schedules(values: Readonly<Record<string, ConfigValue>>): readonly Segments[] {
  const c = values as unknown as DiffusionConfig;
  if (c.draws === "inputs") return [];
  const segments = [
    { fn: "sample_init", repeat: 1 },
    { fn: "sample_step", repeat: stepTable(c.respacing, c, timesteps).length },
  ];
  return [{ name: "sample", segments }];
}

function check(values: Readonly<Record<string, ConfigValue>>): string | undefined {
  const c = values as unknown as DiffusionConfig;
  if (!(c.guidance >= 0)) return `guidance is ${c.guidance}, expected 0 or more (1: none)`;
  if (c.numClasses === 0 && c.guidance !== 1)
    return `guidance is ${c.guidance}, but a model without classes (numClasses=0) has nothing to be guided by: set guidance=1`;
  if (c.classDropoutProb === 0 && c.guidance !== 1)
    return `guidance is ${c.guidance}, but a model that never trains without a class (classDropoutProb=0) has no null class to be guided by: set guidance=1`;
  if (!(Number.isInteger(c.guidedChannels) && c.guidedChannels > 0))
    return `guidedChannels is ${c.guidedChannels}, expected a whole number from 1`;
  if (!(c.eta >= 0 && c.eta <= 1)) return `eta is ${c.eta}, expected 0 to 1`;
  if (c.eta > 0 && c.sampler !== "ddim")
    return `eta is ${c.eta}, but only the sampler ddim has it, and the sampler is ${c.sampler}`;
  return optimizerProblem(c);
}

export const diffusion: Objective = { config, entries, schedules, check };
