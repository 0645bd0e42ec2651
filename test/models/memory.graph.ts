// q, k and v are parts of one weight: its gradient is put together from what two kernels make.
import { defineModel, dot, init, linear, mean, param, softmax, supervised, tensor } from "dit-compile";

export default defineModel({
  name: "KV",
  config: { tokens: 4, width: 64, numClasses: 4 },
  inputs: (c) => ({ x: tensor("batch token hidden", { token: c.tokens, hidden: c.width }) }),
  forward: (c, { x }) => {
    const memory = param("memory", "three place hidden", { three: 3, place: c.tokens, hidden: c.width }, init.normal(0.02));
    const [q, k, v] = memory.unbind("three", 3);
    const scores = dot(q, k.rename({ place: "key" }), "hidden").mul(0.125);
    const mixed = dot(softmax(scores, "key"), v.rename({ place: "key" }), "key").rename({ place: "token" });
    return { out: linear(mean(x.add(mixed), "token"), "hidden", { class: c.numClasses }, "out") };
  },
  objective: supervised,
});
