/** A folder with the four idx files that MNIST and its relatives consist of; the test half may be absent. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fail } from "../diagnostics/diagnostic.js";
import { readIdx } from "./idx.js";
import type { ImageSet } from "./image-set.js";

/** Of images and of labels; each may also be gzipped, with .gz behind its name. */
const NAMES = {
  train: ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
  test: ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
} as const;

export type Half = keyof typeof NAMES;

export const idxNames: readonly string[] = Object.values(NAMES).flat();

const find = (folder: string, name: string): string | undefined =>
  [`${name}.gz`, name].map((file) => join(folder, file)).find((path) => existsSync(path));

/** Whether any of the files is there. */
export const hasIdxFiles = (folder: string): boolean => idxNames.some((name) => find(folder, name));

/**
 * Pixels as bytes [n, 1, height, width] and labels; undefined where neither file of this half is there. Without class names the classes are
 * the digits up to the largest label. Errors: DIT4032 (one of the two is missing, or they disagree), and those of idx files.
 */
export async function readIdxHalf(folder: string, half: Half, names?: readonly string[]): Promise<ImageSet | undefined> {
  const [images, labels] = NAMES[half].map((name) => find(folder, name)) as [string | undefined, string | undefined];
  if (images === undefined && labels === undefined) return undefined;
  if (images === undefined || labels === undefined) {
    return fail("DIT4032", `${images ?? labels} has no partner`, {
      notes: [`expected ${NAMES[half].join(" and ")} in ${folder}, each with or without .gz`],
      help: "put both files of the set there",
    });
  }
  const { shape, data } = await readIdx(images, 3);
  const [count, height, width] = shape as readonly [number, number, number];
  const y = (await readIdx(labels, 1)).data;
  const classes = names ?? Array.from({ length: 1 + y.reduce((most, label) => Math.max(most, label), 0) }, (_, i) => String(i));
  const strange = y.findIndex((label) => label >= classes.length);
  if (y.length !== count || strange >= 0) {
    fail("DIT4032", `${labels} does not belong to ${images}`, {
      notes: [
        y.length !== count
          ? `${count} images, ${y.length} labels`
          : `label ${y[strange]} of image ${strange} is not in 0..${classes.length - 1}`,
      ],
      help: "take both files from the same set",
    });
  }
  return { images: data, labels: y, count, channels: 1, height, width, classes };
}
