// One weight for all layers, a part each, as a matrix: its gradient is put together from results of dots.
import { defineModel, dot, init, linear, mean, param, supervised, type Tensor, tensor } from "dit-compile";

export default defineModel({
  name: "StackW",
  config: { depth: 9, tokens: 4, width: 64, numClasses: 4 },
  inputs: (c) => ({ x: tensor("batch token feature", { token: c.tokens, feature: 8 }) }),
  forward: (c, { x }) => {
    let h: Tensor<"batch token hidden"> = linear(x, "feature", { hidden: c.width }, "in");
    const stack = param("stack", "layer wide hidden", { layer: c.depth, wide: c.width, hidden: c.width }, init.normal(0.02));
    for (let i = 0; i < c.depth; i++) {
      const next: Tensor<"batch token wide"> = dot(h, stack.select("layer", i), "hidden");
      h = h.add(next.rename({ wide: "hidden" }));
    }
    return { out: linear(mean(h, "token"), "hidden", { class: c.numClasses }, "out") };
  },
  objective: supervised,
});
