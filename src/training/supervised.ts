/** Classification: cross-entropy of `out` [batch, class] against labels y [batch]. Entries forward, loss_and_grad and those that train. */
import { input } from "../dsl/declare.js";
import { demandInputs, demandOut } from "../dsl/demands.js";
import { iota, max, mean, stopGradient, sum, where } from "../dsl/functions.js";
import type { ConfigValue, EntrySpec, Objective, TracedModel } from "../dsl/model.js";
import type { Tensor } from "../dsl/tensor.js";
import { trainingEntries } from "./entries.js";
import { gradientResults, optimizerConfig, optimizerProblem } from "./gradient.js";
import type { OptimizerSettings } from "./optimizer.js";

/** Mean over the batch of -log softmax(out)[y]. */
function crossEntropy(out: Tensor<"batch class">, y: Tensor<"batch", "i32">): Tensor<""> {
  const centred = out.sub(stopGradient(max(out, "class")));
  const logSum = sum(centred.exp(), "class").log();
  const label = iota("class", out.size("class")).eq(y.expand("batch class", { class: out.size("class") }));
  return mean(logSum.sub(sum(where(label, centred, 0), "class")), "batch");
}

function entries(model: TracedModel, config: Readonly<Record<string, ConfigValue>>): readonly EntrySpec[] {
  demandInputs("supervised", model, { "y?": ["i32", "batch"] });
  const lossOf = () => {
    const inputs = model.declare();
    const out = demandOut("supervised", model, model.forward(inputs), "batch class");
    return crossEntropy(out, input("y", "batch", {}, "i32"));
  };
  return [
    { name: "forward", build: () => model.forward(model.declare()) },
    {
      name: "loss_and_grad",
      build: () => {
        const loss = lossOf();
        return { loss, ...gradientResults(loss) };
      },
    },
    ...trainingEntries(config as unknown as OptimizerSettings, model, () => ({ loss: lossOf() })),
  ];
}

export const supervised: Objective = {
  config: { ...optimizerConfig, learningRate: 1e-3 },
  entries,
  check: (config) => optimizerProblem(config as unknown as OptimizerSettings),
};
