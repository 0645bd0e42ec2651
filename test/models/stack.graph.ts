// One weight for all layers, a part each, as a factor: the gradient is put together from more parts than a kernel binds.
import { defineModel, init, linear, mean, param, supervised, type Tensor, tensor } from "dit-compile";

export default defineModel({
  name: "Stack",
  config: { depth: 9, tokens: 4, width: 64, numClasses: 4 },
  inputs: (c) => ({ x: tensor("batch token feature", { token: c.tokens, feature: 8 }) }),
  forward: (c, { x }) => {
    let h: Tensor<"batch token hidden"> = linear(x, "feature", { hidden: c.width }, "in");
    const gammas = param("gammas", "layer hidden", { layer: c.depth, hidden: c.width }, init.ones);
    for (let i = 0; i < c.depth; i++) {
      const next: Tensor<"batch token wide"> = linear(h, "hidden", { wide: c.width }, `b${i}`);
      h = h.add(next.rename({ wide: "hidden" }).mul(gammas.select("layer", i)));
    }
    return { out: linear(mean(h, "token"), "hidden", { class: c.numClasses }, "out") };
  },
  objective: supervised,
});
