/**
 * Fashion-MNIST (Xiao, Rasul, Vollgraf 2017; MIT licence): 70,000 grey images of clothes, 28 x 28, ten classes.
 *
 * Idea: the set is a Debian package, so where there is apt it is one signed 31 MB download that needs no root, unpacked into a
 * temporary folder and renamed into the cache. It is only downloaded when asked for. Elsewhere put the four idx files
 * of the set (or of MNIST, which has the same names) in a folder and name that folder.
 */
import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fail } from "../diagnostics/diagnostic.js";
import { readFileBytes } from "../formats/files.js";
import { unpackDebian } from "../runtime/node/apt.js";
import { cacheFolder, fillOnce } from "../runtime/node/cache.js";
import { parseIdx } from "./idx.js";
import type { ImageSet } from "./image-set.js";

const PACKAGE = "dataset-fashion-mnist";
const FILES = [
  "train-images-idx3-ubyte.gz",
  "train-labels-idx1-ubyte.gz",
  "t10k-images-idx3-ubyte.gz",
  "t10k-labels-idx1-ubyte.gz",
] as const;
const CLASSES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];
const NOTE = `Fashion-MNIST, copyright 2017 Zalando SE, https://github.com/zalandoresearch/fashion-mnist
Licence: MIT (the full text is in the file "copyright" beside this one).
Taken from the Debian package ${PACKAGE}.
`;

export interface FashionMnistOptions {
  /** Download the set when it is not there. Default false. */
  readonly download?: boolean;
  /** A folder with the four idx files, gzipped or not. Default: fashion-mnist in the cache folder. */
  readonly folder?: string;
}

export interface FashionMnist {
  /** 60,000 images. */
  readonly train: ImageSet;
  /** 10,000 images. */
  readonly test: ImageSet;
}

/**
 * Both halves of the set: pixels as bytes [n, 1, 28, 28], labels 0..9.
 * Errors: DIT4030 (not there, and no download was asked for), DIT4031 (download failed), DIT4032 (the files disagree), and those of idx files.
 */
export async function fetchFashionMnist({ download = false, folder }: FashionMnistOptions = {}): Promise<FashionMnist> {
  const place = folder ?? join(cacheFolder(), "fashion-mnist");
  let paths = find(place);
  if (!paths && download && folder === undefined) {
    downloadTo(place);
    paths = find(place);
  }
  if (!paths) {
    return fail("DIT4030", `Fashion-MNIST is not in ${place}`, {
      notes: [`expected ${FILES.join(", ")} (with or without .gz)`],
      help:
        folder === undefined
          ? "allow the download (31 MB, MIT licence, with apt), or name a folder that has the files"
          : "put the four files there, or leave the folder out to use the cache",
    });
  }
  return { train: await load(paths[0], paths[1]), test: await load(paths[2], paths[3]) };
}

type Paths = readonly [string, string, string, string];

function find(folder: string): Paths | undefined {
  const found = FILES.map((name) => [name, name.slice(0, -3)].map((file) => join(folder, file)).find((path) => existsSync(path)));
  return found.includes(undefined) ? undefined : (found as unknown as Paths);
}

async function load(imagePath: string, labelPath: string): Promise<ImageSet> {
  const { shape, data } = parseIdx(await readFileBytes(imagePath), 3, imagePath);
  const [count, height, width] = shape as readonly [number, number, number];
  const labels = parseIdx(await readFileBytes(labelPath), 1, labelPath).data;
  const strange = labels.findIndex((label) => label >= CLASSES.length);
  if (labels.length !== count || strange >= 0) {
    fail("DIT4032", `${labelPath} does not belong to ${imagePath}`, {
      notes: [
        labels.length !== count
          ? `${count} images, ${labels.length} labels`
          : `label ${labels[strange]} of image ${strange} is not in 0..${CLASSES.length - 1}`,
      ],
      help: "take both files from the same set",
    });
  }
  return { images: data, labels, count, channels: 1, height, width, classes: CLASSES };
}

/** Unpacks the package beside `target` and renames: the folder is complete or absent. */
function downloadTo(target: string): void {
  const work = join(dirname(target), `.apt-fashion-mnist-${process.pid}`);
  const isWhole = (folder: string): boolean => existsSync(join(folder, "LICENCE.txt"));
  try {
    fillOnce(target, isWhole, (draft) => {
      unpackDebian([PACKAGE], draft, work);
      for (const name of FILES) renameSync(join(draft, "usr/share/datasets/fashion-mnist", name), join(draft, name));
      renameSync(join(draft, "usr/share/doc", PACKAGE, "copyright"), join(draft, "copyright"));
      rmSync(join(draft, "usr"), { recursive: true });
      writeFileSync(join(draft, "LICENCE.txt"), NOTE);
    });
  } catch (error) {
    fail("DIT4031", "Fashion-MNIST could not be downloaded", {
      notes: [error instanceof Error ? error.message : String(error)],
      help: "check the network and the free space, or get the four idx files by hand and name their folder",
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
