/**
 * DiT: a Diffusion Transformer (Peebles and Xie 2022, "Scalable Diffusion Models with Transformers"), with the paper's four block designs.
 *
 * It reads like section 3 of the paper: patchify, condition, N blocks, final layer, unpatchify. Everything is written in primitives;
 * the compiler finds attention, adaLN and the MLP in the graph by itself. An axis is its name, so nothing here depends on the order in
 * which a tensor happens to lie. Parameter names are the keys of the published checkpoints; where the paper leaves something open for the
 * three designs without a published model, it is said at the place.
 */
import {
  type Config,
  concat,
  defineModel,
  diffusion,
  dot,
  embedding,
  gather,
  gelu,
  type Init,
  type InitOf,
  init,
  linear,
  normalize,
  oneOf,
  param,
  positionTable,
  silu,
  softmax,
  type Tensor,
  table,
  tensor,
  timestepTable,
} from "dit-compile";

const config = {
  /** Side of the latent (or image), in pixels: 32 for 256 × 256 images behind the autoencoder. */
  inputSize: 32,
  patchSize: 2,
  inChannels: 4,
  hiddenSize: 384,
  depth: 12,
  numHeads: 6,
  mlpRatio: 4,
  /** Probability with which a label is replaced by the null class in training; 0: no null class, no guidance. */
  classDropoutProb: 0.1,
  /** 0: no classes and no input y. Such a model draws without being told what, and has no guidance. */
  numClasses: 1000,
  /** Whether the model predicts the variance beside the noise, in as many channels again. */
  learnSigma: true,
  /** How a block takes the condition, figure 3. The released models are adaln_zero. */
  block: oneOf("adaln_zero", "adaln", "cross_attention", "in_context"),
};
type DiT = Config<typeof config>;

// Section 3.2, "Model size": the paper's table 1, each with patches of 2, 4 and 8. DiT-XL/2 is for 256 × 256 images, DiT-XL/2-512 for
// 512 × 512.
const sizes = {
  S: { depth: 12, hiddenSize: 384, numHeads: 6 },
  B: { depth: 12, hiddenSize: 768, numHeads: 12 },
  L: { depth: 24, hiddenSize: 1024, numHeads: 16 },
  XL: { depth: 28, hiddenSize: 1152, numHeads: 16 },
};
const paper = Object.fromEntries(
  Object.entries(sizes).flatMap(([name, size]) =>
    [2, 4, 8].flatMap((patchSize) => [
      [`DiT-${name}/${patchSize}`, { ...size, patchSize, inputSize: 32 }],
      [`DiT-${name}/${patchSize}-512`, { ...size, patchSize, inputSize: 64 }],
    ]),
  ),
);
/** Sizes for small images and slow machines. They predict the noise only. */
const small = {
  // 28 × 28 grey, ten classes: learns clothes in minutes on two CPU cores.
  fashion: {
    inputSize: 28,
    patchSize: 7,
    inChannels: 1,
    hiddenSize: 128,
    depth: 4,
    numHeads: 4,
    numClasses: 10,
    learnSigma: false,
  },
  // 32 × 32 in colour: a folder of one's own pictures, on the same machines.
  pictures: {
    inputSize: 32,
    patchSize: 4,
    inChannels: 3,
    hiddenSize: 128,
    depth: 4,
    numHeads: 4,
    numClasses: 10,
    learnSigma: false,
  },
  tiny: { inputSize: 8, patchSize: 2, hiddenSize: 64, depth: 2, numHeads: 4, numClasses: 10 },
  small: { inputSize: 16, patchSize: 2, hiddenSize: 256, depth: 6, numHeads: 4, numClasses: 10 },
};

type Tokens = Tensor<"batch token hidden">;
type Vector = Tensor<"batch hidden">;
type Condition = readonly Vector[];
type Heads = Tensor<"batch head token width">;
type Images = Tensor<"batch channel height width">;
type Numbers = Tensor<"batch", "i32">;

const grid = (c: DiT) => c.inputSize / c.patchSize;
const outChannels = (c: DiT) => (c.learnSigma ? 2 : 1) * c.inChannels;
const isAdaptive = (c: DiT) => c.block === "adaln_zero" || c.block === "adaln";

/** "Patchify": each patch becomes a token by one linear map, and gets the sine and cosine embedding of its place. */
function patchify(c: DiT, x: Images): Tokens {
  const patches = x.split("height", "row i", { i: c.patchSize }).split("width", "column j", { j: c.patchSize });
  const places = { one: 1, token: grid(c) ** 2, hidden: c.hiddenSize };
  const pos = param("pos_embed", "one token hidden", places, init.table(positionTable(c.hiddenSize, grid(c))), {
    trainable: false,
  });
  const tokens = linear(patches, "channel i j", { hidden: c.hiddenSize }, "x_embedder.proj").merge("row column", "token");
  return tokens.add(pos.select("one", 0));
}

/** Timestep and, where there are classes, label, a vector each. The sines of t come from a table made in f64: GPUs are not exact at arguments up to 999. */
function condition(c: DiT, t: Numbers, y: Numbers | undefined): Condition {
  const features = table("timestep_features", "timestep frequency", { timestep: 1000, frequency: 256 }, timestepTable());
  const start = { init: init.normal(0.02) };
  const hidden = silu(linear(gather(features, t, "timestep"), "frequency", { hidden: c.hiddenSize }, "t_embedder.mlp.0", start));
  const time = linear(hidden, "hidden", { hidden: c.hiddenSize }, "t_embedder.mlp.2", start);
  if (!y) return [time];
  const classes = c.numClasses + (c.classDropoutProb > 0 ? 1 : 0);
  return [time, embedding(y, "class hidden", { class: classes, hidden: c.hiddenSize }, "y_embedder.embedding_table")];
}

/** The condition as one vector, for the adaLN designs. */
const sumOf = (cond: Condition): Vector => cond.reduce((sum, vector) => sum.add(vector));

/** The condition as a sequence, timestep first, for the other two. */
const asTokens = (cond: Condition): Tokens =>
  concat(
    cond.map((vector) => vector.expand("batch token hidden", { token: 1 })),
    "token",
  );

/** One linear map of each token, cut into `count` parts (queries, keys, values) of several heads. */
function heads<const N extends number>(c: DiT, x: Tokens, count: N, name: string) {
  return linear(x, "hidden", { projection: count * c.hiddenSize }, name)
    .split("projection", "part head width", { part: count, head: c.numHeads })
    .transpose("part batch head token width")
    .unbind("part", count);
}

/** softmax(q kᵀ / √width) v in each head, and the heads together through a linear map. */
function attend(c: DiT, q: Heads, k: Heads, v: Heads, name: string): Tokens {
  const scores = dot(q, k.rename({ token: "key" }), "width").mul((c.hiddenSize / c.numHeads) ** -0.5);
  const mixed = dot(softmax(scores, "key"), v.rename({ token: "key" }), "key");
  const merged = mixed.transpose("batch token head width").merge("head width", "hidden");
  return linear(merged, "hidden", { hidden: c.hiddenSize }, `${name}.proj`);
}

/** Multi-head self-attention over all tokens. */
function attention(c: DiT, x: Tokens, name: string): Tokens {
  const [q, k, v] = heads(c, x, 3, `${name}.qkv`);
  return attend(c, q, k, v, name);
}

function mlp(c: DiT, x: Tokens, name: string): Tokens {
  const wide = linear(x, "hidden", { mlp: Math.trunc(c.hiddenSize * c.mlpRatio) }, `${name}.fc1`);
  return linear(gelu(wide), "mlp", { hidden: c.hiddenSize }, `${name}.fc2`);
}

/** Shifts, scales and gates regressed from the condition. */
function modulation<const N extends number>(c: DiT, cond: Condition, parts: N, name: string, start: Init | InitOf) {
  const runs = { modulation: parts * c.hiddenSize };
  const all = linear(silu(sumOf(cond)), "hidden", runs, `${name}.adaLN_modulation.1`, { init: start });
  return all.split("modulation", "part hidden", { part: parts }).unbind("part", parts);
}

const adaptiveNorm = (x: Tokens, shift: Vector, scale: Vector): Tokens =>
  normalize(x, "hidden", 1e-6).mul(scale.add(1)).add(shift);

/** Layer norm with a scale and shift of its own, in the designs whose norms are not adaptive (ours to choose; as in ViT). */
function norm(c: DiT, x: Tokens, name: string): Tokens {
  const scale = param(`${name}.weight`, "hidden", { hidden: c.hiddenSize }, init.ones);
  const shift = param(`${name}.bias`, "hidden", { hidden: c.hiddenSize }, init.zeros);
  return normalize(x, "hidden", 1e-6).mul(scale).add(shift);
}

/** Figure 3, "DiT Block with adaLN-Zero". All of the modulation starts at zero: shut gates make each block the identity. */
function adaLNZero(c: DiT, x: Tokens, cond: Condition, name: string): Tokens {
  const [shift1, scale1, gate1, shift2, scale2, gate2] = modulation(c, cond, 6, name, init.zeros);
  const attended = x.add(attention(c, adaptiveNorm(x, shift1, scale1), `${name}.attn`).mul(gate1));
  return attended.add(mlp(c, adaptiveNorm(attended, shift2, scale2), `${name}.mlp`).mul(gate2));
}

/** The same without gates, and with no reason to start at zero. Ours to choose: the order of the four, and how they start. */
function adaLN(c: DiT, x: Tokens, cond: Condition, name: string): Tokens {
  const [shift1, scale1, shift2, scale2] = modulation(c, cond, 4, name, init.xavierUniform());
  const attended = x.add(attention(c, adaptiveNorm(x, shift1, scale1), `${name}.attn`));
  return attended.add(mlp(c, adaptiveNorm(attended, shift2, scale2), `${name}.mlp`));
}

/** Figure 3, "DiT Block with Cross-Attention": between attention and MLP every token looks at the condition, which is not normalised. */
function crossAttention(c: DiT, x: Tokens, cond: Condition, name: string): Tokens {
  const attended = x.add(attention(c, norm(c, x, `${name}.norm1`), `${name}.attn`));
  const [q] = heads(c, norm(c, attended, `${name}.norm_cross`), 1, `${name}.cross_attn.q`);
  const [k, v] = heads(c, asTokens(cond), 2, `${name}.cross_attn.kv`);
  const informed = attended.add(attend(c, q, k, v, `${name}.cross_attn`));
  return informed.add(mlp(c, norm(c, informed, `${name}.norm2`), `${name}.mlp`));
}

/** Figure 3, "DiT Block with In-Context Conditioning": a plain transformer block; the condition is among the tokens. */
function inContext(c: DiT, x: Tokens, _cond: Condition, name: string): Tokens {
  const attended = x.add(attention(c, norm(c, x, `${name}.norm1`), `${name}.attn`));
  return attended.add(mlp(c, norm(c, attended, `${name}.norm2`), `${name}.mlp`));
}

const blocks = { adaln_zero: adaLNZero, adaln: adaLN, cross_attention: crossAttention, in_context: inContext };

/** "Transformer decoder": each token becomes a patch of predicted noise (and variance), and the patches an image. */
function finalLayer(c: DiT, x: Tokens, cond: Condition): Images {
  const pixels = c.patchSize ** 2 * outChannels(c);
  const patches = linear(finalNorm(c, x, cond), "hidden", { pixel: pixels }, "final_layer.linear", { init: init.zeros });
  return patches
    .split("pixel", "i j channel", { i: c.patchSize, j: c.patchSize })
    .split("token", "row column", { row: grid(c), column: grid(c) })
    .transpose("batch channel row i column j")
    .merge("row i", "height")
    .merge("column j", "width");
}

/** Adaptive where the blocks' norms are. */
function finalNorm(c: DiT, x: Tokens, cond: Condition): Tokens {
  if (!isAdaptive(c)) return norm(c, x, "final_layer.norm_final");
  const [shift, scale] = modulation(c, cond, 2, "final_layer", init.zeros);
  return adaptiveNorm(x, shift, scale);
}

export default defineModel({
  name: "DiT",
  config,
  presets: { ...paper, ...small },
  defaultPreset: "DiT-S/2",
  inputs: (c) => ({
    x: tensor("batch channel height width", { channel: c.inChannels, height: c.inputSize, width: c.inputSize }),
    t: tensor("batch", {}, "i32"),
    y: c.numClasses > 0 ? tensor("batch", {}, "i32") : undefined,
  }),
  forward: (c, { x, t, y }) => {
    let tokens = patchify(c, x);
    const cond = condition(c, t, y);
    // In context, the condition stands behind the image for as long as the blocks last. It has no place (ours to choose).
    if (c.block === "in_context") tokens = concat([tokens, asTokens(cond)], "token");
    for (let i = 0; i < c.depth; i++) tokens = blocks[c.block](c, tokens, cond, `blocks.${i}`);
    if (c.block === "in_context") tokens = tokens.slice("token", 0, grid(c) ** 2);
    return { out: finalLayer(c, tokens, cond) };
  },
  objective: diffusion,
  check: (c) => {
    const whole = ["inputSize", "patchSize", "inChannels", "hiddenSize", "depth", "numHeads"] as const;
    const odd = whole.find((key) => !Number.isInteger(c[key]) || c[key] < 1);
    if (odd) return `${odd} is ${c[odd]}, expected a whole number from 1`;
    if (!Number.isInteger(c.numClasses) || c.numClasses < 0)
      return `numClasses is ${c.numClasses}, expected a whole number from 0 (none)`;
    if (c.inputSize % c.patchSize > 0) return `patchSize ${c.patchSize} does not divide inputSize ${c.inputSize}`;
    if (c.hiddenSize % c.numHeads > 0) return `numHeads ${c.numHeads} does not divide hiddenSize ${c.hiddenSize}`;
    if (c.hiddenSize % 4 > 0) return `hiddenSize is ${c.hiddenSize}, expected a multiple of 4`;
    if (c.mlpRatio * c.hiddenSize < 1) return `mlpRatio is ${c.mlpRatio}, expected more`;
    return c.classDropoutProb >= 0 && c.classDropoutProb < 1
      ? undefined
      : `classDropoutProb is ${c.classDropoutProb}, expected 0 to below 1`;
  },
  // The paper's count: one multiply-add is one, norms count one per element, and the last linear layer six of its eight channels.
  gflops: (c) => {
    const [image, d] = [grid(c) ** 2, c.hiddenSize];
    const told = c.numClasses > 0 ? 2 : 1;
    const tokens = image + (c.block === "in_context" ? told : 0);
    const vectors = { adaln_zero: 6, adaln: 4, cross_attention: 0, in_context: 0 }[c.block];
    const cross = c.block === "cross_attention" ? 2 * image * d ** 2 + 2 * told * d ** 2 + 2 * told * image * d : 0;
    const maps = 4 * d ** 2 + 2 * d * Math.trunc(d * c.mlpRatio);
    const perBlock = tokens * maps + 2 * tokens ** 2 * d + vectors * d ** 2 + 2 * tokens * d + cross;
    const last = outChannels(c) === 8 ? 6 : outChannels(c);
    const ends = (c.inChannels + last) * c.inputSize ** 2 * d + 256 * d + d ** 2 + tokens * d + (isAdaptive(c) ? 2 * d ** 2 : 0);
    return (c.depth * perBlock + ends) / 1e9;
  },
});
