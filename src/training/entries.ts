/**
 * The entries that train, whatever the loss is: `train_step`, or, where a step takes several batches, `accumulate` for each of them and
 * `update` at the end.
 *
 * `accumulate` adds its share of the mean gradient to `g.*`, and of the mean losses to states of their names. Nobody empties these sums:
 * the first batch of a step writes over what the last step left, finite or not. Which batch is the first says the state `accumulated`,
 * which counts from 0 and wraps; 0 between two steps, and whoever puts an old state back writes 0 there.
 */
import { input } from "../dsl/declare.js";
import { where } from "../dsl/functions.js";
import { wrap } from "../dsl/methods.js";
import type { EntrySpec, TracedModel } from "../dsl/model.js";
import type { AnyTensor, Tensor } from "../dsl/tensor.js";
import { declareParam, emitAll, trace } from "../dsl/trace.js";
import { beside, gradients, trainable, update, type Weight } from "./gradient.js";
import { type LossScale, lossScale } from "./loss-scale.js";
import type { OptimizerSettings } from "./optimizer.js";

/** Means over the batch: what is made small, and what is worth knowing beside it. */
export type Losses = { readonly loss: Tensor<""> } & Readonly<Record<string, Tensor<"">>>;

/** `losses` declares what a batch is, runs the model on it and gives what it loses. */
export function trainingEntries(settings: OptimizerSettings, model: TracedModel, losses: () => Losses): readonly EntrySpec[] {
  if (settings.accumulate > 1) {
    return [
      { name: "accumulate", build: () => accumulated(settings, losses()) },
      { name: "update", weights: "state", build: () => updated(settings, model) },
    ];
  }
  const step = () => {
    const means = losses();
    const weights = trainable();
    const scale = settings.lossScaling ? lossScale() : undefined;
    const grads = gradients(scaled(means.loss, scale), weights);
    return { ...means, ...update(settings, means.loss, weights, grads, scale) };
  };
  return [{ name: "train_step", weights: "state", build: step }];
}

const scaled = (loss: Tensor<"">, scale: LossScale | undefined): Tensor<""> => (scale ? loss.mul(scale.scale) : loss);

/** The sums after one batch more. */
function accumulated({ accumulate: batches, lossScaling }: OptimizerSettings, means: Losses): Record<string, AnyTensor> {
  const shares = Object.entries(means).map(([name, mean]) => ({ name, share: mean.mul(1 / batches) }));
  const weights = trainable();
  const { share: loss } = shares.find(({ name }) => name === "loss")!;
  const grads = gradients(scaled(loss, lossScaling ? lossScale() : undefined), weights);
  const count = input("accumulated", "", {}, "i32", "state");
  const terms = [
    ...weights.map((w, i) => ({ total: beside("g", w), name: `g.${w.name}`, term: grads[i]! })),
    ...shares.map(({ name, share }) => ({ total: input(name, "", {}, "f32", "state"), name, term: share })),
  ];
  const operands = [count, ...terms.map((x) => x.total), ...terms.map((x) => x.term)];
  const sums = emitAll(
    "accumulate",
    operands.map((x) => x.value),
  );
  return {
    ...Object.fromEntries(terms.map(({ name }, i) => [name, wrap(sums[i]!)])),
    accumulated: where(count.lt(batches - 1), count.add(1), 0),
  };
}

/** One step with what has been summed up. */
function updated(settings: OptimizerSettings, model: TracedModel): Record<string, AnyTensor> {
  // The weights are those of a forward pass, which nobody runs here.
  const { params } = trace("weights", () => model.forward(model.declare()));
  const weights = params
    .filter((p) => p.trainable)
    .map((p): Weight => ({ name: p.name, tensor: wrap<string, "f32">(declareParam(p)) }));
  return update(
    settings,
    input("loss", "", {}, "f32", "state"),
    weights,
    weights.map((w) => beside("g", w)),
    settings.lossScaling ? lossScale() : undefined,
  );
}
