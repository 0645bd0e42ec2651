/**
 * DiT: a Diffusion Transformer (Peebles and Xie 2022, "Scalable Diffusion Models with Transformers"), with adaLN-Zero blocks.
 *
 * It reads like section 3 of the paper: patchify, condition, N blocks, final layer, unpatchify. Everything is written in primitives;
 * the compiler finds attention, adaLN and the MLP in the graph by itself. An axis is its name, so nothing here depends on the order in
 * which a tensor happens to lie. Parameter names are the keys of the published checkpoints.
 */
import {
  type Config,
  defineModel,
  diffusion,
  dot,
  embedding,
  gather,
  gelu,
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
  numClasses: 1000,
  /** Whether the model predicts the variance beside the noise, in as many channels again. */
  learnSigma: true,
  block: oneOf("adaln_zero"),
};
type DiT = Config<typeof config>;

// Section 3.2, "Model size": the paper's table 1, each with patches of 2, 4 and 8.
const sizes = {
  S: { depth: 12, hiddenSize: 384, numHeads: 6 },
  B: { depth: 12, hiddenSize: 768, numHeads: 12 },
  L: { depth: 24, hiddenSize: 1024, numHeads: 16 },
  XL: { depth: 28, hiddenSize: 1152, numHeads: 16 },
};
const paper = Object.fromEntries(
  Object.entries(sizes).flatMap(([name, size]) =>
    [2, 4, 8].map((patchSize) => [`DiT-${name}/${patchSize}`, { ...size, patchSize }]),
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
type Images = Tensor<"batch channel height width">;
type Numbers = Tensor<"batch", "i32">;

const grid = (c: DiT) => c.inputSize / c.patchSize;
const outChannels = (c: DiT) => (c.learnSigma ? 2 : 1) * c.inChannels;

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

/** Timestep and label as one vector. The sines of t come from a table made in f64: GPUs are not exact at arguments up to 999. */
function condition(c: DiT, t: Numbers, y: Numbers): Vector {
  const features = table("timestep_features", "timestep frequency", { timestep: 1000, frequency: 256 }, timestepTable());
  const start = { init: init.normal(0.02) };
  const hidden = silu(linear(gather(features, t, "timestep"), "frequency", { hidden: c.hiddenSize }, "t_embedder.mlp.0", start));
  const time = linear(hidden, "hidden", { hidden: c.hiddenSize }, "t_embedder.mlp.2", start);
  const classes = c.numClasses + (c.classDropoutProb > 0 ? 1 : 0);
  return time.add(embedding(y, "class hidden", { class: classes, hidden: c.hiddenSize }, "y_embedder.embedding_table"));
}

/** Multi-head self-attention over all tokens. */
function attention(c: DiT, x: Tokens, name: string): Tokens {
  const width = c.hiddenSize / c.numHeads;
  const qkv = linear(x, "hidden", { qkv: 3 * c.hiddenSize }, `${name}.qkv`);
  const [q, k, v] = qkv
    .split("qkv", "three head width", { three: 3, head: c.numHeads })
    .transpose("three batch head token width")
    .unbind("three", 3);
  const scores = dot(q, k.rename({ token: "key" }), "width").mul(width ** -0.5);
  const mixed = dot(softmax(scores, "key"), v.rename({ token: "key" }), "key");
  const heads = mixed.transpose("batch token head width").merge("head width", "hidden");
  return linear(heads, "hidden", { hidden: c.hiddenSize }, `${name}.proj`);
}

function mlp(c: DiT, x: Tokens, name: string): Tokens {
  const wide = linear(x, "hidden", { mlp: Math.trunc(c.hiddenSize * c.mlpRatio) }, `${name}.fc1`);
  return linear(gelu(wide), "mlp", { hidden: c.hiddenSize }, `${name}.fc2`);
}

/** Shifts, scales and gates regressed from the condition; they start at zero, which makes each block the identity. */
function modulation(c: DiT, cond: Vector, part: number, name: string): Tensor<"batch part hidden"> {
  const all = linear(silu(cond), "hidden", { modulation: part * c.hiddenSize }, `${name}.adaLN_modulation.1`, {
    init: init.zeros,
  });
  return all.split("modulation", "part hidden", { part });
}

const adaptiveNorm = (x: Tokens, shift: Vector, scale: Vector): Tokens =>
  normalize(x, "hidden", 1e-6).mul(scale.add(1)).add(shift);

/** Figure 3, "DiT Block with adaLN-Zero". */
function block(c: DiT, x: Tokens, cond: Vector, name: string): Tokens {
  const [shift1, scale1, gate1, shift2, scale2, gate2] = modulation(c, cond, 6, name).unbind("part", 6);
  const attended = x.add(attention(c, adaptiveNorm(x, shift1, scale1), `${name}.attn`).mul(gate1));
  return attended.add(mlp(c, adaptiveNorm(attended, shift2, scale2), `${name}.mlp`).mul(gate2));
}

/** "Transformer decoder": each token becomes a patch of predicted noise (and variance), and the patches an image. */
function finalLayer(c: DiT, x: Tokens, cond: Vector): Images {
  const [shift, scale] = modulation(c, cond, 2, "final_layer").unbind("part", 2);
  const pixels = c.patchSize ** 2 * outChannels(c);
  const patches = linear(adaptiveNorm(x, shift, scale), "hidden", { pixel: pixels }, "final_layer.linear", { init: init.zeros });
  return patches
    .split("pixel", "i j channel", { i: c.patchSize, j: c.patchSize })
    .split("token", "row column", { row: grid(c), column: grid(c) })
    .transpose("batch channel row i column j")
    .merge("row i", "height")
    .merge("column j", "width");
}

export default defineModel({
  name: "DiT",
  config,
  presets: { ...paper, ...small },
  defaultPreset: "DiT-S/2",
  inputs: (c) => ({
    x: tensor("batch channel height width", { channel: c.inChannels, height: c.inputSize, width: c.inputSize }),
    t: tensor("batch", {}, "i32"),
    y: tensor("batch", {}, "i32"),
  }),
  forward: (c, { x, t, y }) => {
    let tokens = patchify(c, x);
    const cond = condition(c, t, y);
    for (let i = 0; i < c.depth; i++) tokens = block(c, tokens, cond, `blocks.${i}`);
    return { out: finalLayer(c, tokens, cond) };
  },
  objective: diffusion,
  check: (c) => {
    const whole = ["inputSize", "patchSize", "inChannels", "hiddenSize", "depth", "numHeads", "numClasses"] as const;
    const odd = whole.find((key) => !Number.isInteger(c[key]) || c[key] < 1);
    if (odd) return `${odd} is ${c[odd]}, expected a whole number from 1`;
    if (c.inputSize % c.patchSize > 0) return `patchSize ${c.patchSize} does not divide inputSize ${c.inputSize}`;
    if (c.hiddenSize % c.numHeads > 0) return `numHeads ${c.numHeads} does not divide hiddenSize ${c.hiddenSize}`;
    if (c.hiddenSize % 4 > 0) return `hiddenSize is ${c.hiddenSize}, expected a multiple of 4`;
    if (c.mlpRatio * c.hiddenSize < 1) return `mlpRatio is ${c.mlpRatio}, expected more`;
    return c.classDropoutProb >= 0 && c.classDropoutProb < 1
      ? undefined
      : `classDropoutProb is ${c.classDropoutProb}, expected 0 to below 1`;
  },
  // The paper's count: one multiply-add is one, norms count one per element, and the last linear layer six channels.
  gflops: (c) => {
    const [tokens, d] = [grid(c) ** 2, c.hiddenSize];
    const perBlock = 12 * tokens * d ** 2 + 2 * tokens ** 2 * d + 6 * d ** 2 + 2 * tokens * d;
    const pixels = c.inputSize ** 2 * d;
    return (c.depth * perBlock + 4 * pixels + 256 * d + d ** 2 + tokens * d + 6 * pixels + 2 * d ** 2) / 1e9;
  },
});
