// Parts of a product that has no batch, and that overlap.
import { defineModel, dot, init, linear, mean, param, supervised, tensor } from "dit-compile";

export default defineModel({
  name: "Overlap",
  config: { tokens: 4, width: 64, numClasses: 4 },
  inputs: (c) => ({ x: tensor("batch token hidden", { token: c.tokens, hidden: c.width }) }),
  forward: (c, { x }) => {
    const table = param("table", "place feature", { place: c.tokens + 1, feature: 8 }, init.ones);
    const h = dot(table, param("w", "hidden feature", { hidden: c.width, feature: 8 }, init.ones), "feature");
    const step = h
      .slice("place", 1, c.tokens + 1)
      .sub(h.slice("place", 0, c.tokens))
      .rename({ place: "token" });
    return { out: linear(mean(x.add(step), "token"), "hidden", { class: c.numClasses }, "out") };
  },
  objective: supervised,
});
