/** Gradients and state of a training step, in the language: what the optimizer's graph functions are applied to. */
import { input } from "../dsl/declare.js";
import { wrap } from "../dsl/methods.js";
import type { AnyTensor, Sizes, Tensor } from "../dsl/tensor.js";
import { declaredParams, emitGradient } from "../dsl/trace.js";
import { sizeOf } from "../ir/types.js";
import type { LossScale } from "./loss-scale.js";
import { adamw, type OptimizerSettings, stepNumbers } from "./optimizer.js";

export interface Weight {
  readonly name: string;
  readonly tensor: AnyTensor;
}

/** The trained weights that the running trace has declared, in state-dict order. */
export const trainable = (): Weight[] =>
  declaredParams()
    .filter((p) => p.trainable)
    .map((p) => ({ name: p.name, tensor: wrap<string, "f32">(p.value) }));

/** d loss / d weight for each weight. */
export function gradients(loss: Tensor<"">, weights: readonly Weight[]): AnyTensor[] {
  const values = emitGradient(
    loss.value,
    weights.map((w) => w.tensor.value),
  );
  return values.map((v) => wrap<string, "f32">(v));
}

/** `grad.<name>` for each trained weight: the results of `loss_and_grad`. */
export function gradientResults(loss: Tensor<"">): Record<string, AnyTensor> {
  const weights = trainable();
  const grads = gradients(loss, weights);
  return Object.fromEntries(weights.map((w, i) => [`grad.${w.name}`, grads[i]!]));
}

/** State of the same shape as a weight: a moment, the average, or a sum of gradients. */
export function beside(prefix: string, w: Weight): AnyTensor {
  const { axes, type } = w.tensor;
  const sizes = Object.fromEntries(type.axes.map((name) => [name, sizeOf(type, name)!])) as Sizes<string>;
  return input(`${prefix}.${w.name}`, axes, sizes, "f32", "state");
}

/** The number of completed updates. */
export const stepCounter = (): Tensor<"", "i32"> => input("step", "", {}, "i32", "state");

/**
 * One AdamW step with EMA on these weights: results p.*, m.*, v.*, ema.* and step, each the next value of the state of its name, the
 * gradient norm and the learning rate. `scale`: what the loss was multiplied by before these gradients were taken.
 */
export function update(
  settings: OptimizerSettings,
  loss: Tensor<"">,
  weights: readonly Weight[],
  grads: readonly AnyTensor[],
  scale?: LossScale,
): Record<string, AnyTensor> {
  const numbers = stepNumbers(settings, stepCounter(), loss, grads, scale?.inverse);
  const { packed, gradientNorm, learningRate, good, next: taken } = numbers;
  const results: Record<string, AnyTensor> = {};
  const step = adamw(settings, packed);
  weights.forEach((w, i) => {
    const next = step(grads[i]!, { p: w.tensor, m: beside("m", w), v: beside("v", w), ema: beside("ema", w) });
    for (const [set, value] of Object.entries(next)) results[`${set}.${w.name}`] = value as AnyTensor;
  });
  return { ...results, step: taken, gradient_norm: gradientNorm, learning_rate: learningRate, ...scale?.results(good) };
}

/** What is wrong with optimizer settings, as a sentence. */
export function optimizerProblem(s: OptimizerSettings): string | undefined {
  const share = (name: "beta1" | "beta2" | "emaDecay") =>
    s[name] >= 0 && s[name] < 1 ? undefined : `${name} is ${s[name]}, expected 0 to below 1`;
  const positive = (name: "learningRate" | "epsilon") =>
    s[name] > 0 ? undefined : `${name} is ${s[name]}, expected more than 0`;
  const least = (name: "warmupSteps" | "weightDecay" | "clipNorm") =>
    s[name] >= 0 ? undefined : `${name} is ${s[name]}, expected 0 or more`;
  if (!(Number.isInteger(s.accumulate) && s.accumulate > 0))
    return `accumulate is ${s.accumulate}, expected a whole number from 1`;
  return (
    positive("learningRate") ??
    positive("epsilon") ??
    share("beta1") ??
    share("beta2") ??
    share("emaDecay") ??
    least("warmupSteps") ??
    least("weightDecay") ??
    least("clipNorm")
  );
}

/** Config keys of the optimizer with the paper's values. */
export const optimizerConfig = {
  learningRate: 1e-4,
  warmupSteps: 0,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  clipNorm: 0,
  emaDecay: 0.9999,
  emaWarmup: true,
  accumulate: 1,
  /** Gradients are taken of the loss times a power of two that is found as it goes; on by itself with --dtype f16. */
  lossScaling: false,
};
