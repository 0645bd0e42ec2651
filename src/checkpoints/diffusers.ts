/**
 * The layout of diffusers' DiTTransformer2DModel, there and back. It differs in names; in q, k and v, which are three matrices; and in
 * the embedders of timestep and class, of which every block has a copy. The table of positions is not stored. Source: dit-spec section 2.2.
 */
import { fail } from "../diagnostics/diagnostic.js";
import type { TensorData } from "../formats/safetensors.js";
import type { TensorView } from "../formats/tensor-view.js";
import type { DitConfig, Hints } from "./config.js";

type Views = ReadonlyMap<string, TensorView>;

/** Official name and diffusers' one, of what belongs to a block (below `blocks.i` and `transformer_blocks.i`) … */
const inBlock: readonly (readonly [string, string])[] = [
  ["adaLN_modulation.1", "norm1.linear"],
  ["attn.proj", "attn1.to_out.0"],
  ["mlp.fc1", "ff.net.0.proj"],
  ["mlp.fc2", "ff.net.2"],
];
/** … of what is once in the official layout, and in every block here … */
const copied: readonly (readonly [string, string])[] = [
  ["t_embedder.mlp.0", "norm1.emb.timestep_embedder.linear_1"],
  ["t_embedder.mlp.2", "norm1.emb.timestep_embedder.linear_2"],
  ["y_embedder.embedding_table", "norm1.emb.class_embedder.embedding_table"],
];
/** … and of the rest. */
const outside: readonly (readonly [string, string])[] = [
  ["x_embedder.proj", "pos_embed.proj"],
  ["final_layer.adaLN_modulation.1", "proj_out_1"],
  ["final_layer.linear", "proj_out_2"],
];
const parts = ["to_q", "to_k", "to_v"] as const;
const kinds = ["weight", "bias"] as const;
const inner = (i: number, name: string): string => `transformer_blocks.${i}.${name}`;

export const isDiffusers = (names: { has(name: string): boolean }): boolean => names.has("pos_embed.proj.weight");

/**
 * The tensors by official names, without `pos_embed`. What has no name there keeps its own, so that whoever compares finds it.
 * Errors: DIT4076 (of q, k, v some are missing or do not fit), and when they are read DIT4076 (copies differ).
 */
export function fromDiffusers(label: string, views: Views): Map<string, TensorView> {
  const left = new Map(views);
  left.delete("pos_embed.pos_embed");
  const official = new Map<string, TensorView>();
  const take = (name: string): TensorView | undefined => {
    const view = left.get(name);
    left.delete(name);
    return view;
  };
  const depth = new Set([...views.keys()].flatMap((name) => /^transformer_blocks\.(\d+)\./.exec(name)?.[1] ?? [])).size;
  for (const kind of kinds) {
    const move = (to: string, from: string): void => {
      const view = take(`${from}.${kind}`);
      if (view) official.set(`${to}.${kind}`, view);
    };
    for (const [to, from] of outside) move(to, from);
    for (const [to, from] of copied) {
      const names = Array.from({ length: depth }, (_, i) => `${inner(i, from)}.${kind}`);
      const found = names.flatMap((name) => take(name) ?? []);
      if (found.length > 0) official.set(`${to}.${kind}`, ofCopies(label, names, found));
    }
    for (let i = 0; i < depth; i++) {
      for (const [to, from] of inBlock) move(`blocks.${i}.${to}`, inner(i, from));
      const names = parts.map((part) => `${inner(i, `attn1.${part}`)}.${kind}`);
      const found = names.map(take);
      if (found.some((view) => view)) official.set(`blocks.${i}.attn.qkv.${kind}`, stacked(label, names, found));
    }
  }
  for (const [name, view] of left) official.set(name, view);
  return official;
}

/** One of several equal ones. That they are equal shows when it is read: a model trained with diffusers may have made them differ. */
function ofCopies(label: string, names: readonly string[], copies: readonly TensorView[]): TensorView {
  const [first, ...others] = copies as [TensorView, ...TensorView[]];
  if (copies.length !== names.length) {
    fail("DIT4076", `${label}: of "${names[0]}" expected ${names.length} copies, one for each block, found ${copies.length}`);
  }
  return {
    dtype: first.dtype,
    shape: first.shape,
    async read() {
      const data = await first.read();
      for (const [i, other] of others.entries()) {
        const same = other.dtype === first.dtype && bytesOf(await other.read()).equals(bytesOf(data));
        if (same) continue;
        fail("DIT4076", `${label}: tensor "${names[i + 1]}": expected the numbers of "${names[0]}", found others`, {
          notes: ["diffusers has an embedder of timestep and class in every block, the official model one for all"],
          help: "these blocks were trained apart, and no official model computes the same",
        });
      }
      return data;
    },
  };
}

const bytesOf = (data: TensorData) => {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return {
    bytes,
    equals: (other: { bytes: Uint8Array }) => bytes.length === other.bytes.length && bytes.every((b, i) => b === other.bytes[i]),
  };
};

/** Several tensors one below the other. */
function stacked(label: string, names: readonly string[], found: readonly (TensorView | undefined)[]): TensorView {
  const like = found.find((view) => view)!;
  const text = (view: TensorView | undefined) => (view ? `${view.dtype} [${view.shape.join(", ")}]` : "none");
  const views = found.map((view, i) => {
    if (view && text(view) === text(like)) return view;
    return fail("DIT4076", `${label}: tensor "${names[i]}": expected ${text(like)}, found ${text(view)}`, {
      help: "q, k and v of a block have the same shape: get the file again",
    });
  });
  const [rows = 0, ...rest] = like.shape;
  return {
    dtype: like.dtype,
    shape: [rows * views.length, ...rest],
    async read() {
      let all: TensorData | undefined;
      for (const [i, view] of views.entries()) {
        const data = await view.read();
        all ??= new (data.constructor as new (n: number) => TensorData)(views.length * data.length);
        (all as Float32Array).set(data as Float32Array, i * data.length);
      }
      return all!;
    },
  };
}

/** The tensors of an adaLN-Zero model by diffusers' names. Error: DIT4076 (diffusers has no such blocks). */
export function toDiffusers(
  label: string,
  official: Views,
  config: Pick<DitConfig, "depth" | "block" | "numClasses">,
): Map<string, TensorView> {
  if (config.block !== "adaln_zero" || config.numClasses === 0) {
    fail("DIT4076", `${label}: diffusers has no model with blocks ${config.block} and ${config.numClasses} classes`, {
      help: "its DiT has adaLN-Zero blocks and classes; --format safetensors writes any model, by official names",
    });
  }
  const views = new Map<string, TensorView>();
  for (const [name, view] of official) {
    const [, base, kind] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
    if (base === undefined) continue; // pos_embed
    const [, block, rest] = /^blocks\.(\d+)\.(.*)$/.exec(base) ?? [];
    const to = (table: readonly (readonly [string, string])[], from: string) => table.find(([key]) => key === from)?.[1];
    if (rest === "attn.qkv") {
      parts.forEach((part, i) => {
        views.set(`${inner(Number(block), `attn1.${part}`)}.${kind}`, third(view, i));
      });
    } else if (rest !== undefined) views.set(`${inner(Number(block), to(inBlock, rest)!)}.${kind}`, view);
    else if (to(outside, base)) views.set(`${to(outside, base)}.${kind}`, view);
    else for (let i = 0; i < config.depth; i++) views.set(`${inner(i, to(copied, base)!)}.${kind}`, view);
  }
  return views;
}

const third = (view: TensorView, i: number): TensorView => ({
  dtype: view.dtype,
  shape: [view.shape[0]! / 3, ...view.shape.slice(1)],
  async read() {
    const data = await view.read();
    const size = data.length / 3;
    return data.slice(i * size, (i + 1) * size);
  },
});

/** config.json, as diffusers writes it beside the weights. */
export const diffusersConfig = (c: DitConfig): Readonly<Record<string, unknown>> => ({
  _class_name: "DiTTransformer2DModel",
  activation_fn: "gelu-approximate",
  attention_bias: true,
  attention_head_dim: c.hiddenSize / c.numHeads,
  dropout: 0,
  in_channels: c.inChannels,
  norm_elementwise_affine: false,
  norm_eps: 1e-5,
  norm_num_groups: 32,
  norm_type: "ada_norm_zero",
  num_attention_heads: c.numHeads,
  num_embeds_ada_norm: c.numClasses,
  num_layers: c.depth,
  out_channels: (c.learnSigma ? 2 : 1) * c.inChannels,
  patch_size: c.patchSize,
  sample_size: c.inputSize,
  upcast_attention: false,
});

/** What a config.json says that shapes do not; whatever else it holds is not looked at. */
export function hintsOfDiffusers(config: unknown): Hints {
  const {
    num_attention_heads: heads,
    sample_size: side,
    num_embeds_ada_norm: classes,
  } = (config ?? {}) as Record<string, unknown>;
  const count = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) > 0;
  return {
    ...(count(heads) ? { numHeads: heads } : {}),
    ...(count(side) ? { inputSize: side } : {}),
    ...(count(classes) ? { numClasses: classes } : {}),
  };
}
