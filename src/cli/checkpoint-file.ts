/** A checkpoint that a command names: a file, or an address whose server answers ranges; and what is known of its model beside it. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Hints, parseHints } from "../checkpoints/config.js";
import { hintsOfDiffusers } from "../checkpoints/diffusers.js";
import { type Checkpoint, openCheckpoint } from "../checkpoints/open.js";
import { readFileBytes, withSource } from "../formats/files.js";
import { urlSource } from "../formats/source.js";
import { pairs } from "./options.js";

export interface ModelFlags {
  readonly preset?: string;
  readonly set: readonly string[];
}

export const PRESET = "what the file does not say of the model: one of the presets of models/dit.graph.ts";
export const SET = "what the file does not say of the model, like numHeads=6 or inputSize=32; repeatable";

/** Opens it for the time of `use`; `hints` are those of the flags, over those of a config.json beside the file. */
export async function withCheckpoint<T>(
  from: string,
  { preset, set }: ModelFlags,
  use: (checkpoint: Checkpoint, hints: Hints) => Promise<T>,
): Promise<T> {
  const given = parseHints(preset, pairs("--set", set));
  if (/^https?:\/\//.test(from)) return use(await openCheckpoint(await urlSource(from)), given);
  return withSource(from, async (source) => use(await openCheckpoint(source), { ...(await hintsBeside(from)), ...given }));
}

/** diffusers keeps the model's configuration in a file of its own. */
async function hintsBeside(path: string): Promise<Hints> {
  const file = join(dirname(path), "config.json");
  if (!existsSync(file)) return {};
  try {
    const config = JSON.parse(new TextDecoder().decode(await readFileBytes(file))) as Record<string, unknown> | null;
    return config?._class_name === "DiTTransformer2DModel" ? hintsOfDiffusers(config) : {};
  } catch {
    // Of something else: what it would have said is asked for where it is needed.
    return {};
  }
}
