/** A classifier of small images: two layers and a cross-entropy. The second model that everything must work for. */
import { defineModel, gelu, linear, supervised, tensor } from "dit-compile";

export default defineModel({
  name: "MLP",
  config: { pixels: 784, hidden: 128, numClasses: 10 },
  presets: { mnist: {}, tiny: { pixels: 16, hidden: 24, numClasses: 4 } },
  defaultPreset: "mnist",
  inputs: (c) => ({ x: tensor("batch pixel", { pixel: c.pixels }) }),
  forward: (c, { x }) => {
    const hidden = gelu(linear(x, "pixel", { hidden: c.hidden }, "fc1"));
    return { out: linear(hidden, "hidden", { class: c.numClasses }, "fc2") };
  },
  objective: supervised,
});
