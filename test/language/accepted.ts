/**
 * What the language must accept. Nothing runs: the file is type-checked with the rest of the tests, and each annotation says the
 * axes that TypeScript has to find.
 */
import {
  concat,
  defineModel,
  dot,
  draw,
  embedding,
  gather,
  gelu,
  init,
  linear,
  mean,
  normalize,
  oneOf,
  param,
  silu,
  softmax,
  sum,
  type Tensor,
  tensor,
  where,
} from "dit-compile";

declare const x: Tensor<"batch token hidden">;
declare const shift: Tensor<"batch hidden">;
declare const q: Tensor<"batch head token width">;
declare const y: Tensor<"batch", "i32">;
declare const key: Parameters<typeof draw.normal>[3];

export const modulate = (z: Tensor<"batch token hidden">, by: Tensor<"batch hidden">, scale: Tensor<"batch hidden">) =>
  normalize(z, "hidden", 1e-6).mul(scale.add(1)).add(by);

const scores = dot(q, q.rename({ token: "key" }), "width").mul(64 ** -0.5);
export const attended: Tensor<"batch head token width"> = dot(softmax(scores, "key"), q.rename({ token: "key" }), "key");
export const merged: Tensor<"batch token hidden"> = attended.transpose("batch token head width").merge("head width", "hidden");
export const modulated: Tensor<"batch token hidden"> = modulate(x, shift, shift);
export const widened: Tensor<"batch token hidden"> = shift.mul(x);
export const byNumber: Tensor<"batch token hidden"> = x.mul(2).sub(x).div(x.add(1));

const qkv: Tensor<"batch token qkv"> = linear(x, "hidden", { qkv: 3 * 384 }, "attn.qkv");
const parts = qkv.split("qkv", "three head width", { three: 3, head: 6 });
export const [one, two, three] = parts.unbind("three", 3);
export const first: Tensor<"batch token head width"> = one;
export const many: readonly Tensor<"batch token head width">[] = parts.unbind("three");
export const second: Tensor<"batch token head width"> = parts.select("three", 1);
export const same: Tensor<"batch token hidden"> = linear(x, "hidden", { hidden: 384 }, "attn.proj");

export const mask: Tensor<"batch", "bool"> = y.lt(10).and(y.ge(0)).not();
export const chosen: Tensor<"batch", "i32"> = where(mask, y, 1000);
export const either: Tensor<"batch token hidden"> = where(mask, x, 0);
export const asFloat: Tensor<"batch"> = y.cast("f32").mul(0.5);
export const finite: Tensor<"", "bool"> = sum(x, "batch token hidden").isFinite();
export const average: Tensor<"hidden"> = mean(x, "batch token");
export const row: Tensor<"batch hidden"> = embedding(
  y,
  "class hidden",
  { class: 1001, hidden: 384 },
  "y_embedder.embedding_table",
);
export const looked: Tensor<"batch hidden"> = gather(
  param("t", "class hidden", { class: 4, hidden: 384 }, init.zeros),
  y,
  "class",
);
export const longer: Tensor<"batch token hidden"> = concat([x, x], "token");
export const spread: Tensor<"batch token hidden"> = shift.expand("batch token hidden", { token: 4 });
export const noise: Tensor<"batch token"> = draw.normal("draw.noise", "batch token", { token: 4 }, key);
export const dropped: Tensor<"batch", "bool"> = draw.bernoulli("draw.drop", "batch", {}, 0.1, key);

function twiceAndMore<A extends string>(t: Tensor<A>): Tensor<A> {
  return t.mul(2).add(t).neg().exp();
}
function activated<A extends string>(t: Tensor<A>): Tensor<A> {
  return gelu(silu(t)).maximum(0);
}
export const generic: Tensor<"batch token hidden"> = twiceAndMore(activated(x));

export default defineModel({
  name: "small",
  config: { hidden: 8, classes: 10, bias: true, variant: oneOf("plain", "gated") },
  presets: { wide: { hidden: 32, variant: "gated" } },
  defaultPreset: "wide",
  inputs: (c) => ({
    x: tensor("batch pixel", { pixel: 4 }),
    y: tensor("batch", {}, "i32"),
    h: tensor("batch hidden", { hidden: c.hidden }),
  }),
  forward: (c, inputs) => {
    const kind: "plain" | "gated" = c.variant;
    const hidden: Tensor<"batch hidden"> = linear(inputs.x, "pixel", { hidden: c.hidden }, "fc", { bias: c.bias });
    return { out: kind === "plain" ? hidden : hidden.mul(inputs.h), count: inputs.y };
  },
});
