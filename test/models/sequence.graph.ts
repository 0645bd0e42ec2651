/** A transformer block over a sequence of any length, which no patches of a square image have: 77 tokens, for one. */
import {
  defineModel,
  dot,
  gelu,
  init,
  linear,
  mean,
  normalize,
  param,
  softmax,
  supervised,
  type Tensor,
  tensor,
} from "dit-compile";

const config = { length: 77, width: 24, heads: 2, classes: 3 };
type Tokens = Tensor<"batch token hidden">;

function norm(x: Tokens, width: number, name: string): Tokens {
  const own = (what: string, start: typeof init.ones) => param(`${name}.${what}`, "hidden", { hidden: width }, start);
  return normalize(x, "hidden").mul(own("weight", init.ones)).add(own("bias", init.zeros));
}

export default defineModel({
  name: "Sequence",
  config,
  inputs: (c) => ({ x: tensor("batch token hidden", { token: c.length, hidden: c.width }) }),
  forward: (c, { x }) => {
    const [q, k, v] = linear(norm(x, c.width, "norm1"), "hidden", { qkv: 3 * c.width }, "qkv")
      .split("qkv", "three head width", { three: 3, head: c.heads })
      .transpose("three batch head token width")
      .unbind("three", 3);
    const scores = dot(q, k.rename({ token: "key" }), "width").mul((c.width / c.heads) ** -0.5);
    const mixed = dot(softmax(scores, "key"), v.rename({ token: "key" }), "key").transpose("batch token head width");
    const attended = x.add(linear(mixed, "head width", { hidden: c.width }, "proj"));
    const wide = gelu(linear(norm(attended, c.width, "norm2"), "hidden", { mlp: 4 * c.width }, "fc1"));
    const out = attended.add(linear(wide, "mlp", { hidden: c.width }, "fc2"));
    return { out: linear(mean(out, "token"), "hidden", { class: c.classes }, "head") };
  },
  objective: supervised,
});
