// Parts of a product that has no batch, in another order.
import { concat, defineModel, dot, init, linear, mean, param, supervised, tensor } from "dit-compile";

export default defineModel({
  name: "Flip",
  config: { tokens: 9, width: 64, numClasses: 4 },
  inputs: (c) => ({ x: tensor("batch token hidden", { token: c.tokens, hidden: c.width }) }),
  forward: (c, { x }) => {
    const table = param("table", "place feature", { place: c.tokens, feature: 8 }, init.ones);
    const h = dot(table, param("w", "hidden feature", { hidden: c.width, feature: 8 }, init.ones), "feature");
    const parts = Array.from({ length: c.tokens }, (_, i) => h.slice("place", c.tokens - 1 - i, c.tokens - i));
    const back = concat(parts, "place").rename({ place: "token" });
    return { out: linear(mean(x.add(back), "token"), "hidden", { class: c.numClasses }, "out") };
  },
  objective: supervised,
});
