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
import { unpackDebian } from "../runtime/node/apt.js";
import { cacheFolder, fillOnce } from "../runtime/node/cache.js";
import { hasIdxFiles, idxNames, readIdxHalf } from "./idx-set.js";
import type { ImageSet } from "./image-set.js";

const PACKAGE = "dataset-fashion-mnist";
const CLASSES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];
const CREDIT = `Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), copyright 2017 Zalando SE, https://github.com/zalandoresearch/fashion-mnist
Licence: MIT, https://github.com/zalandoresearch/fashion-mnist/blob/master/LICENSE
`;
const NOTE = `${CREDIT}Its full text is in the file "copyright" beside this one. Taken from the Debian package ${PACKAGE}.
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
  /** What must stand beside what is made of it. */
  readonly attribution: string;
}

/**
 * Both halves of the set: pixels as bytes [n, 1, 28, 28], labels 0..9.
 * Errors: DIT4030 (not there, and no download was asked for), DIT4031 (download failed), DIT4032 (the files disagree), and those of idx files.
 */
export async function fetchFashionMnist({ download = false, folder }: FashionMnistOptions = {}): Promise<FashionMnist> {
  const place = folder ?? join(cacheFolder(), "fashion-mnist");
  if (!hasIdxFiles(place) && download && folder === undefined) downloadTo(place);
  const train = await readIdxHalf(place, "train", CLASSES);
  const test = await readIdxHalf(place, "test", CLASSES);
  if (train && test) return { train, test, attribution: CREDIT };
  return fail("DIT4030", `Fashion-MNIST is not in ${place}`, {
    notes: [`expected ${idxNames.join(", ")} (with or without .gz)`],
    help:
      folder === undefined
        ? "allow the download (31 MB, MIT licence, with apt), or name a folder that has the files"
        : "put the four files there, or leave the folder out to use the cache",
  });
}

/** Unpacks the package beside `target` and renames: the folder is complete or absent. */
function downloadTo(target: string): void {
  const work = join(dirname(target), `.apt-fashion-mnist-${process.pid}`);
  const isWhole = (folder: string): boolean => existsSync(join(folder, "LICENCE.txt"));
  try {
    fillOnce(target, isWhole, (draft) => {
      unpackDebian([PACKAGE], draft, work);
      for (const name of idxNames.map((each) => `${each}.gz`)) {
        renameSync(join(draft, "usr/share/datasets/fashion-mnist", name), join(draft, name));
      }
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
