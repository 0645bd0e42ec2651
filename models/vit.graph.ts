/**
 * A Vision Transformer (Dosovitskiy et al. 2021) that classifies images: pre-norm blocks, the mean of the tokens at the end. Norm and
 * attention are written in other words than DiT's, as other people would; the compiler must find them all the same.
 */
import {
  type Config,
  defineModel,
  dot,
  gelu,
  init,
  linear,
  max,
  mean,
  param,
  stopGradient,
  sum,
  supervised,
  type Tensor,
  tensor,
} from "dit-compile";

const config = { side: 28, patchSize: 4, channels: 1, width: 64, depth: 4, numHeads: 4, numClasses: 10 };
type ViT = Config<typeof config>;
type Tokens = Tensor<"batch token hidden">;

/** Layer norm with scale and shift: what is centred over its standard deviation. */
function layerNorm(c: ViT, x: Tokens, name: string): Tokens {
  const own = (what: string, start: typeof init.ones) => param(`${name}.${what}`, "hidden", { hidden: c.width }, start);
  const centred = x.sub(mean(x, "hidden"));
  const deviation = mean(centred.mul(centred), "hidden").add(1e-6).sqrt();
  return centred.div(deviation).mul(own("weight", init.ones)).add(own("bias", init.zeros));
}

/** Three projections; the scale on the queries, and the weights normalised after they have mixed the values. */
function attention(c: ViT, x: Tokens, name: string): Tokens {
  const head = c.width / c.numHeads;
  const heads = (what: string) =>
    linear(x, "hidden", { hidden: c.width }, `${name}.${what}`).split("hidden", "head depth", { head: c.numHeads });
  const [q, k, v] = [heads("query").div(Math.sqrt(head)), heads("key").rename({ token: "key" }), heads("value")];
  const scores = dot(k, q, "depth");
  const weights = scores.sub(stopGradient(max(scores, "key"))).exp();
  const mixed = dot(v.rename({ token: "key" }), weights, "key").div(sum(weights, "key"));
  return linear(mixed.transpose("batch token head depth"), "head depth", { hidden: c.width }, `${name}.out`);
}

function block(c: ViT, x: Tokens, name: string): Tokens {
  const attended = x.add(attention(c, layerNorm(c, x, `${name}.norm1`), name));
  const wide = gelu(linear(layerNorm(c, attended, `${name}.norm2`), "hidden", { mlp: 4 * c.width }, `${name}.fc1`));
  return attended.add(linear(wide, "mlp", { hidden: c.width }, `${name}.fc2`));
}

export default defineModel({
  name: "ViT",
  config,
  presets: { mnist: {}, tiny: { side: 6, patchSize: 2, width: 16, depth: 2, numHeads: 2, numClasses: 4 } },
  defaultPreset: "mnist",
  inputs: (c) => ({ x: tensor("batch channel height width", { channel: c.channels, height: c.side, width: c.side }) }),
  forward: (c, { x }) => {
    const patches = x.split("height", "row i", { i: c.patchSize }).split("width", "column j", { j: c.patchSize });
    const embedded = linear(patches, "channel i j", { hidden: c.width }, "embed").merge("row column", "token");
    let tokens: Tokens = embedded.add(
      param("position", "token hidden", { token: embedded.size("token"), hidden: c.width }, init.normal(0.02)),
    );
    for (let i = 0; i < c.depth; i++) tokens = block(c, tokens, `blocks.${i}`);
    return { out: linear(mean(layerNorm(c, tokens, "norm"), "token"), "hidden", { class: c.numClasses }, "head") };
  },
  objective: supervised,
});
