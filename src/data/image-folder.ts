/**
 * A folder of images with one sub-folder for each class:
 *
 *     pets/cats/one.png   pets/cats/more/two.jpg   pets/dogs/three.webp   pets/ATTRIBUTION.txt
 *
 * Classes are the sub-folders in the order of their names, images the files in them and below, in the order of their paths: by code units,
 * so that the same folder gives the same numbers on every machine. What begins with a dot is not looked at.
 */
import { join } from "node:path";
import { fail } from "../diagnostics/diagnostic.js";
import { readFileBytes, readFolder, statOf } from "../formats/files.js";
import { DecodedImages } from "./decoded-images.js";
import type { DataSet, Skipped } from "./source.js";

const IMAGE = /\.(png|jpe?g|webp)$/i;
const KINDS = "PNG, JPEG and WebP";
const SHAPE = "expected one sub-folder for each class, with its images in it: FOLDER/cats/one.png, FOLDER/dogs/two.jpg";

export interface ImageFolderOptions {
  /** Images become squares of this many pixels. */
  readonly side: number;
  /** 1: grey, 3: RGB. */
  readonly channels: 1 | 3;
  /** Leave out images that cannot be read, instead of ending with an error. Default false. */
  readonly skipBroken?: boolean | undefined;
  /** Bytes of decoded images that may stay in memory. Default 1 GiB. */
  readonly cacheBytes?: number | undefined;
  /** Default: half of this machine's cores. */
  readonly threads?: number | undefined;
  readonly log?: ((line: string) => void) | undefined;
}

interface Found {
  /** Paths from the class's folder, in order. */
  readonly images: string[];
  /** How many files are of another kind, and one of them. */
  others: number;
  other?: string;
}

/**
 * Finds the images; none is read yet. Errors: DIT4001 (a folder cannot be read), DIT4061 (there is no image in it), DIT4062 (images lie
 * beside the class folders, or there are no class folders), DIT4063 (a class has no image); later, of a batch, DIT4064 and DIT4065.
 */
export async function openImageFolder(folder: string, options: ImageFolderOptions): Promise<DataSet> {
  const top = await entriesOf(folder);
  const loose = top.filter(({ name, isFolder }) => !isFolder && IMAGE.test(name));
  const classes = top.filter(({ isFolder }) => isFolder).map(({ name }) => name);
  if (loose.length > 0) {
    fail("DIT4062", `${folder} has images that are in no class: ${loose.length}, like ${loose[0]!.name}`, {
      notes: [SHAPE],
      help:
        classes.length > 0
          ? "move them into a class folder, or away"
          : "for a single class make one sub-folder and move them there",
    });
  }
  const found = await Promise.all(classes.map((name) => search(join(folder, name))));
  const others = found.reduce((sum, each) => sum + each.others, 0);
  if (found.every(({ images }) => images.length === 0)) {
    fail("DIT4061", `there is no image in ${folder}`, {
      notes: [
        SHAPE,
        top.length === 0
          ? "found an empty folder"
          : `found ${count(classes.length, "sub-folder")} and ${count(others + top.length - classes.length, "file")} of other kinds`,
      ],
      help: `name another folder; images are ${KINDS} files`,
    });
  }
  const empty = classes.filter((_, i) => found[i]!.images.length === 0);
  if (empty.length > 0) {
    const { other } = found[classes.indexOf(empty[0]!)]!;
    fail("DIT4063", `the class folder ${join(folder, empty[0]!)} has no image`, {
      notes: [
        ...(other === undefined ? [] : [`it has other files, like ${other}; images are ${KINDS} files`]),
        ...(empty.length > 1
          ? [`${empty.length} class folders have none: ${empty.slice(0, 8).join(", ")}${empty.length > 8 ? ", …" : ""}`]
          : []),
      ],
      help: "put images of this class there, or remove the folder",
    });
  }
  const ignored = found.map(({ other }, i) => other && join(classes[i]!, other)).find(Boolean);
  if (ignored) options.log?.(`${folder}: ${count(others, "file")} of other kinds are not used, like ${ignored}`);

  const paths = found.flatMap(({ images }, i) => images.map((image) => join(folder, classes[i]!, image)));
  const labels = Int32Array.from(found.flatMap(({ images }, i) => images.map(() => i)));
  const skipped: Skipped[] = [];
  const train = new DecodedImages({ ...options, paths, labels, classes, skipped });
  const licence = join(folder, "ATTRIBUTION.txt");
  const attribution = (await statOf(licence)) && new TextDecoder().decode(await readFileBytes(licence));
  return { name: folder, train, mirrored: true, skipped, ...(attribution ? { attribution } : {}), close: () => train.close() };
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

/** Files and folders, links followed; what a link leads to that is gone counts as a file, so that reading it says so. */
async function entriesOf(folder: string): Promise<{ readonly name: string; readonly isFolder: boolean }[]> {
  const visible = (await readFolder(folder)).filter(({ name }) => !name.startsWith("."));
  return Promise.all(
    visible.map(async (entry) => {
      const isFolder = entry.isSymbolicLink()
        ? ((await statOf(join(folder, entry.name)))?.isDirectory() ?? false)
        : entry.isDirectory();
      return { name: entry.name, isFolder };
    }),
  );
}

/** A link that leads upwards has no end; no one sorts images this deep. */
const DEEPEST = 32;

async function search(root: string): Promise<Found> {
  const found: Found = { images: [], others: 0 };
  const visit = async (inside: string, depth: number): Promise<void> => {
    for (const { name, isFolder } of await entriesOf(join(root, inside))) {
      const path = join(inside, name);
      if (isFolder && depth < DEEPEST) await visit(path, depth + 1);
      else if (!isFolder && IMAGE.test(name)) found.images.push(path);
      else {
        found.others++;
        found.other ??= path;
      }
    }
  };
  await visit("", 0);
  found.images.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return found;
}
