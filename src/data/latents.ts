/**
 * Latents of an autoencoder, as a safetensors file that is read sample by sample and never whole:
 *
 *     latents (or x)   F32, F16 or BF16   [n, channels, height, width]
 *     labels (or y)    I32 or I64         [n], classes from 0
 *
 * Metadata, all of it optional: `scale`, a number that every value is multiplied by (latents of Stable Diffusion's autoencoder that were
 * stored as they came want 0.18215); `classes`, a JSON array of names; `attribution`, what the data's licence asks for.
 */
import { type FileHandle, open } from "node:fs/promises";
import { fail } from "../diagnostics/diagnostic.js";
import { readFileRange, readRange } from "../formats/files.js";
import { toFloat32 } from "../formats/floats.js";
import { elements, type SafetensorsHeader, type TensorEntry } from "../formats/safetensors.js";
import { readSafetensorsHeader } from "../formats/safetensors-file.js";
import type { DataSet, ImageSource } from "./source.js";

const HELP = "docs/data.md shows how to write such a file";

/** Errors: DIT4001, those of a safetensors header, and DIT4067 (tensors or metadata are not as above). */
export async function openLatents(path: string): Promise<DataSet> {
  const header = await readSafetensorsHeader(path);
  const latents = tensorOf(header, path, ["latents", "x"], ["F32", "F16", "BF16"], "[n, channels, height, width]", 4);
  const stored = tensorOf(header, path, ["labels", "y"], ["I32", "I64"], "[n]", 1);
  const [count, channels, height, width] = latents.shape as readonly [number, number, number, number];
  if (count < 1 || stored.shape[0] !== count) {
    fail("DIT4067", `${path} has ${count} latents and ${stored.shape[0]} labels`, {
      help: "give as many labels as latents, at least one",
    });
  }
  const labels = Array.from(elements(stored.dtype, await readFileRange(path, stored.begin, stored.end)), Number);
  const classes = classesOf(header, path, labels);
  const scale = Number(header.metadata.get("scale") ?? 1);
  if (!Number.isFinite(scale) || scale === 0) {
    fail("DIT4067", `${path}: the metadata's scale is "${header.metadata.get("scale")}", expected a number other than 0`, {
      help: HELP,
    });
  }
  const file = await open(path, "r");
  const train: ImageSource = {
    count,
    channels,
    height,
    width,
    classes,
    labels: Int32Array.from(labels),
    load: (indices) => read(file, path, latents, scale, indices),
    close: () => file.close(),
  };
  const attribution = header.metadata.get("attribution");
  return { name: path, train, mirrored: false, skipped: [], ...(attribution ? { attribution } : {}), close: () => train.close() };
}

function tensorOf(
  ...[{ entries }, path, names, dtypes, form, rank]: [SafetensorsHeader, string, string[], string[], string, number]
): TensorEntry {
  const name = names.find((each) => entries.has(each));
  const found = [...entries].slice(0, 8).map(([key, { dtype, shape }]) => `${key} ${dtype} [${shape.join(", ")}]`);
  if (name === undefined) {
    return fail("DIT4067", `${path} has no tensor "${names[0]}"`, {
      notes: [
        `expected ${names.join(" or ")}: ${dtypes.join(", ")} ${form}`,
        `found ${found.join(", ") || "none"}${entries.size > found.length ? ", …" : ""}`,
      ],
      help: HELP,
    });
  }
  const entry = entries.get(name)!;
  if (!dtypes.includes(entry.dtype) || entry.shape.length !== rank) {
    fail("DIT4067", `${path}: tensor "${name}" is ${entry.dtype} [${entry.shape.join(", ")}]`, {
      notes: [`expected ${dtypes.join(", ")} ${form}`],
      help: HELP,
    });
  }
  return entry;
}

/** More classes than any data set has: a larger label is a mistake, and no list of names is made up to it. */
const MOST_CLASSES = 2 ** 20;

/** Names from the metadata, or the numbers themselves. */
function classesOf({ metadata }: SafetensorsHeader, path: string, labels: readonly number[]): string[] {
  const text = metadata.get("classes");
  const names = text === undefined ? undefined : parseNames(text);
  if (text !== undefined && !names) {
    fail("DIT4067", `${path}: the metadata's classes are no JSON array of names`, { help: 'write them like ["cat", "dog"]' });
  }
  const limit = names?.length ?? MOST_CLASSES;
  const strange = labels.findIndex((label) => label < 0 || label >= limit);
  if (strange >= 0) {
    fail("DIT4067", `${path}: the label of latent ${strange} is ${labels[strange]}, expected 0..${limit - 1}`, { help: HELP });
  }
  const largest = labels.reduce((most, label) => Math.max(most, label), 0);
  return names ?? Array.from({ length: largest + 1 }, (_, i) => String(i));
}

function parseNames(text: string): string[] | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return Array.isArray(json) && json.every((name) => typeof name === "string") ? json : undefined;
  } catch {
    return undefined;
  }
}

async function read(
  ...[file, path, { dtype, shape, begin, end }, scale, indices]: [FileHandle, string, TensorEntry, number, Uint32Array]
): Promise<Float32Array<ArrayBuffer>> {
  const [count, ...rest] = shape as [number, ...number[]];
  const size = rest.reduce((product, n) => product * n, 1);
  const bytes = (end - begin) / count;
  const x = new Float32Array(indices.length * size);
  await Promise.all(
    Array.from(indices, async (index, k) => {
      const at = begin + index * bytes;
      const values = toFloat32({ dtype, shape: rest, data: elements(dtype, await readRange(file, path, at, at + bytes)) })!;
      for (let i = 0; i < size; i++) x[k * size + i] = values[i]! * scale;
    }),
  );
  return x;
}
