/**
 * What `--data` may name, opened as one kind of thing: a known set, a folder of idx files, a folder of images with a sub-folder for each
 * class, or a safetensors file of latents. docs/data.md describes them for people.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { statOf } from "../formats/files.js";
import { openEmoji } from "./emoji.js";
import { fetchFashionMnist } from "./fashion-mnist.js";
import { hasIdxFiles, idxNames, readIdxHalf } from "./idx-set.js";
import { type ImageFolderOptions, openImageFolder } from "./image-folder.js";
import type { ImageSet } from "./image-set.js";
import { openLatents } from "./latents.js";
import { type DataSet, inMemory } from "./source.js";

export interface OpenOptions extends ImageFolderOptions {
  /** Fetch a known set that is not there. Default false. */
  readonly download?: boolean | undefined;
}

const KNOWN = ["fashion-mnist", "emoji"];

/** Whether a mirrored image of this data would be as good; known before it is opened. */
export const mirrors = (spec: string): boolean => !isLatents(spec);

const isLatents = (spec: string): boolean => /\.safetensors$/i.test(spec);

/**
 * Opens data for training. `side` and `channels` are the model's: images in files are made to fit; what has a size of its own (idx files,
 * latents) keeps it. Errors: DIT4060 (there is no such thing), DIT4066 (a file of another kind), and those of the kinds themselves.
 */
export async function openData(spec: string, options: OpenOptions): Promise<DataSet> {
  const { download = false } = options;
  if (spec === "fashion-mnist") return fromMemory(spec, await fetchFashionMnist({ download }));
  if (spec === "emoji") return fromMemory(spec, await openEmoji(options));
  const info = await statOf(spec);
  if (!info) {
    fail("DIT4060", `there is no data ${spec}`, {
      notes: [`known sets: ${KNOWN.join(", ")}; otherwise a folder of images or idx files, or a .safetensors file of latents`],
      help: "check the path; docs/data.md shows how data may lie",
    });
  }
  if (!info.isDirectory()) {
    if (isLatents(spec)) return openLatents(spec);
    fail("DIT4066", `${spec} is a file, and not one of latents`, {
      notes: ["expected a folder, or a .safetensors file of latents"],
      help: idxNames.some((name) => spec.includes(name))
        ? "name the folder that the idx files are in"
        : "name the folder that holds one sub-folder of images for each class",
    });
  }
  if (!hasIdxFiles(spec)) return openImageFolder(spec, options);
  const train = await readIdxHalf(spec, "train");
  if (!train) {
    fail("DIT4032", `${spec} has idx files of a test set, and none to train with`, {
      notes: [`expected ${idxNames.slice(0, 2).join(" and ")}, each with or without .gz`],
      help: "put those files there",
    });
  }
  return fromMemory(spec, { train, test: await readIdxHalf(spec, "test") });
}

interface Sets {
  readonly train: ImageSet;
  readonly test?: ImageSet | undefined;
  readonly attribution?: string;
}

function fromMemory(name: string, { train, test, attribution }: Sets): DataSet {
  return {
    name,
    train: inMemory(train),
    ...(test ? { test: inMemory(test) } : {}),
    ...(attribution === undefined ? {} : { attribution }),
    mirrored: true,
    skipped: [],
    close: async () => {},
  };
}
