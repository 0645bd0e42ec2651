/**
 * The weights of a checkpoint by their official names, whatever its layout, held against the model that they are of: what is missing, of
 * another shape or left over is one error. Numbers are read later, a tensor at a time.
 */

import { fail } from "../diagnostics/diagnostic.js";
import { positionTable } from "../diffusion/tables.js";
import { checkStateDict } from "../formats/state-dict.js";
import type { TensorView } from "../formats/tensor-view.js";
import { shown } from "../program/shown.js";
import {
  configText,
  type DitConfig,
  type Guessed,
  guessConfig,
  type Hints,
  type Named,
  nameConfig,
  presets,
  settings,
} from "./config.js";
import { fromDiffusers, isDiffusers } from "./diffusers.js";
import { officialParameters } from "./layout.js";
import type { Checkpoint, Tensors } from "./open.js";

export type Layout = "official" | "diffusers";

export interface DitWeights {
  readonly label: string;
  /** The part of the checkpoint that they are. */
  readonly part: string;
  readonly layout: Layout;
  /** All parameters by official names, in the official order. */
  readonly tensors: ReadonlyMap<string, TensorView>;
  /** The number of heads may be unknown; what runs without it does not need it. */
  readonly config: Guessed & { readonly inputSize: number };
  readonly named: Named;
}

/** Undefined: the names are of no DiT. */
export function layoutOf(tensors: Tensors): Layout | undefined {
  if (tensors.has("x_embedder.proj.weight")) return "official";
  return isDiffusers(tensors) ? "diffusers" : undefined;
}

/** The average of a training checkpoint or its model; what has one part only is that. Error: DIT4075. */
export function choosePart({ label, parts }: Checkpoint, which: string): readonly [string, Tensors] {
  const all = [...parts];
  const found = parts.get(which);
  if (found) return [which, found];
  return all.length === 1
    ? all[0]!
    : fail("DIT4075", `${label} has no part "${which}"`, {
        notes: [`it has ${all.map(([name]) => shown(name)).join(", ")}`],
        help: "--which ema or --which model",
      });
}

/** What the checkpoint says of its model beside the tensors. */
export function hintsOf({ args }: Checkpoint): Hints {
  const classes = args.get("num_classes");
  const heads = presets.get(String(args.get("model")))?.numHeads;
  return {
    ...(Number.isSafeInteger(classes) && (classes as number) > 0 ? { numClasses: classes as number } : {}),
    ...(heads === undefined ? {} : { numHeads: heads }),
  };
}

/** By official names, without what a layout does not store. Error: DIT4075 (of no DiT). */
export function officialNames(label: string, tensors: Tensors): { readonly layout: Layout; readonly tensors: Tensors } {
  const layout = layoutOf(tensors);
  if (layout === "official") return { layout, tensors };
  if (layout === "diffusers") return { layout, tensors: fromDiffusers(label, tensors) };
  return fail("DIT4075", `${label} holds no weights of a DiT, in neither the official nor diffusers' layout`, {
    notes: [
      `expected "x_embedder.proj.weight" or "pos_embed.proj.weight", found ${[...tensors.keys()].slice(0, 3).map(shown).join(", ")}, …`,
    ],
    help: "`dit-compile inspect FILE` lists what is there",
  });
}

/**
 * Errors: DIT4075 (no such part, or of no DiT), DIT4076 (no shape of a DiT), DIT4077 (the side of the images must be said), DIT4206 (a
 * tensor is missing, of another shape, or left over).
 */
export function ditWeights(checkpoint: Checkpoint, which: string, hints: Hints = {}): DitWeights {
  const { label } = checkpoint;
  const [part, stored] = choosePart(checkpoint, which);
  const { layout, tensors } = officialNames(label, stored);
  const config = guessConfig(label, tensors, { ...hintsOf(checkpoint), ...hints });
  const { inputSize } = config;
  if (inputSize === undefined) {
    return fail("DIT4077", `${label}: which side the images have is not in its tensors`, {
      notes: ["diffusers does not store the table of positions, and a config.json with sample_size does not lie beside it"],
      help: "give it: --set inputSize=32 for 256 × 256 images behind the autoencoder, or 64 for 512 × 512",
    });
  }
  const all = new Map(tensors);
  if (layout === "diffusers") all.set("pos_embed", positions(config.hiddenSize, inputSize / config.patchSize));
  const whole = { ...config, inputSize };
  const named = nameConfig(whole);
  const parameters = officialParameters(whole);
  const { preset } = named;
  const model =
    preset === undefined ? { name: `a DiT with ${settings(named)}`, preset: "" } : { name: "DiT", preset: configText(named) };
  checkStateDict(label, all, { parameters, model });
  return { label, part, layout, tensors: new Map(parameters.map(({ name }) => [name, all.get(name)!])), config: whole, named };
}

function positions(width: number, grid: number): TensorView {
  return { dtype: "F32", shape: [1, grid ** 2, width], read: async () => Float32Array.from(positionTable(width, grid)) };
}

/** The configuration with its number of heads. Error: DIT4077. */
export function withHeads({ label, config }: Pick<DitWeights, "label" | "config">): DitConfig {
  const { numHeads } = config;
  if (numHeads !== undefined) return { ...config, numHeads };
  return fail("DIT4077", `${label}: how many heads attention has is not in its tensors, and no preset has this size`, {
    help: "give it: --set numHeads=6; the paper's models have one for each 64 of the width, XL one for each 72",
  });
}
