/** The official layout: names and shapes of all parameters of a DiT, in the order of its state dict. Source: dit-spec sections 1.8, 2.1. */
import type { DitConfig } from "./config.js";

export interface ParameterShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** What shapes depend on: all but the number of heads. */
export type Shaped = Omit<DitConfig, "numHeads">;

const linear = (name: string, out: number, inputs: number): ParameterShape[] => [
  { name: `${name}.weight`, shape: [out, inputs] },
  { name: `${name}.bias`, shape: [out] },
];
const norm = (name: string, width: number): ParameterShape[] => [
  { name: `${name}.weight`, shape: [width] },
  { name: `${name}.bias`, shape: [width] },
];

/** Rows of a block's modulation, in widths. */
const MODULATION = { adaln_zero: 6, adaln: 4, in_context: 0, cross_attention: 0 } as const;

export function officialParameters(c: Shaped): ParameterShape[] {
  const d = c.hiddenSize;
  const parts = MODULATION[c.block];
  const classes = c.numClasses + (c.classDropoutProb > 0 ? 1 : 0);
  const channels = (c.learnSigma ? 2 : 1) * c.inChannels;
  const mlp = Math.trunc(d * c.mlpRatio);
  const block = (name: string): ParameterShape[] => [
    ...(parts > 0 ? [] : norm(`${name}.norm1`, d)),
    ...linear(`${name}.attn.qkv`, 3 * d, d),
    ...linear(`${name}.attn.proj`, d, d),
    ...(c.block === "cross_attention"
      ? [
          ...norm(`${name}.norm_cross`, d),
          ...linear(`${name}.cross_attn.q`, d, d),
          ...linear(`${name}.cross_attn.kv`, 2 * d, d),
          ...linear(`${name}.cross_attn.proj`, d, d),
        ]
      : []),
    ...(parts > 0 ? [] : norm(`${name}.norm2`, d)),
    ...linear(`${name}.mlp.fc1`, mlp, d),
    ...linear(`${name}.mlp.fc2`, d, mlp),
    ...(parts > 0 ? linear(`${name}.adaLN_modulation.1`, parts * d, d) : []),
  ];
  return [
    { name: "pos_embed", shape: [1, Math.floor(c.inputSize / c.patchSize) ** 2, d] },
    { name: "x_embedder.proj.weight", shape: [d, c.inChannels, c.patchSize, c.patchSize] },
    { name: "x_embedder.proj.bias", shape: [d] },
    ...linear("t_embedder.mlp.0", d, 256),
    ...linear("t_embedder.mlp.2", d, d),
    ...(classes > 0 ? [{ name: "y_embedder.embedding_table.weight", shape: [classes, d] }] : []),
    ...Array.from({ length: c.depth }, (_, i) => block(`blocks.${i}`)).flat(),
    ...(parts > 0 ? [] : norm("final_layer.norm_final", d)),
    ...linear("final_layer.linear", c.patchSize ** 2 * channels, d),
    ...(parts > 0 ? linear("final_layer.adaLN_modulation.1", 2 * d, d) : []),
  ];
}
