/**
 * Emoji as images: small, in colour, with classes that anyone can check by eye, and up to four drawings of a design. Ten classes are made
 * of Unicode's subgroups.
 *
 * The drawings are turned into pixels once for each side, and that file is kept in the cache. One design in five is held out for testing,
 * with all its styles and skin tones, so that no test image is another drawing of what was trained on.
 */
import { join } from "node:path";
import sharp from "sharp";
import { DitError } from "../diagnostics/diagnostic.js";
import { readFileBytes, statOf, writeFileAtomic } from "../formats/files.js";
import { parseSafetensors, type StoredTensor, writeSafetensors } from "../formats/safetensors.js";
import { cacheFolder } from "../runtime/node/cache.js";
import { planes } from "./crop.mjs";
import { type Drawing, emojiAttribution, needEmojiPackages, readDrawings } from "./emoji-packages.js";
import type { ImageSet } from "./image-set.js";

/** Class names, and how the names of their subgroups begin. */
const CLASSES: Readonly<Record<string, readonly string[]>> = {
  faces: ["face-", "cat-face", "monkey-face"],
  animals: ["animal-"],
  food: ["food-", "drink", "dishware"],
  vehicles: ["transport-ground", "transport-water", "transport-air"],
  hands: ["hand-", "hands"],
  tools: ["tool", "household", "office", "writing", "lock"],
  clothing: ["clothing"],
  "sky and weather": ["sky-weather"],
  hearts: ["heart"],
  clocks: ["time"],
};
const NAMES = Object.keys(CLASSES);
/** Every so manyeth design of a class is for testing. */
const HELD_OUT = 5;
/** Drawings that are worked on at a time. */
const TOGETHER = 32;

export interface EmojiOptions {
  /** Pixels of a side. */
  readonly side: number;
  /** 1: grey, 3: RGB. */
  readonly channels: 1 | 3;
  /** Fetch the packages when they are not there. Default false. */
  readonly download?: boolean | undefined;
  readonly log?: ((line: string) => void) | undefined;
}

export interface Emoji {
  readonly train: ImageSet;
  /** Other designs than those of `train`. */
  readonly test: ImageSet;
  /** What must stand beside what is made of it. */
  readonly attribution: string;
}

/** A drawing with its class and its half. */
interface Placed extends Drawing {
  readonly label: number;
  readonly test: boolean;
}

/**
 * The set at one side, on white. Errors: DIT4034 (the packages are not there, and no download was asked for), DIT4035 (the download
 * failed), DIT4002 (the cache cannot be written).
 */
export async function openEmoji({ side, channels, download = false, log = () => {} }: EmojiOptions): Promise<Emoji> {
  const folder = join(cacheFolder(), "emoji");
  needEmojiPackages(folder, download, log);
  const file = join(folder, `side-${side}.safetensors`);
  let tensors = await kept(file);
  if (!tensors) {
    const drawings = placed(await readDrawings(folder));
    log(`drawing ${drawings.length} emoji of ${side} x ${side} pixels, once`);
    tensors = await rasterise(drawings, side);
    await writeFileAtomic(file, writeSafetensors(tensors, { recipe: recipe() }));
  }
  const half = (test: boolean) => halfOf(tensors, test, channels);
  return { train: half(false), test: half(true), attribution: emojiAttribution };
}

/** What the pixels depend on besides the packages: a file that was made otherwise is made again. */
const recipe = (): string => JSON.stringify([CLASSES, HELD_OUT, sharp.versions]);

/** The drawn set, where it is whole and made as it is made now: a cache is never worth an error. */
async function kept(file: string): Promise<ReadonlyMap<string, StoredTensor> | undefined> {
  if (!(await statOf(file))) return undefined;
  try {
    const { tensors, metadata } = parseSafetensors(await readFileBytes(file), file);
    return metadata.get("recipe") === recipe() ? tensors : undefined;
  } catch (error) {
    if (error instanceof DitError) return undefined;
    throw error;
  }
}

/** Drawings that are in a class. Designs are held out by their place among the class's sorted designs. */
function placed(drawings: readonly Drawing[]): Placed[] {
  const labelOf = (subgroup: string): number =>
    NAMES.findIndex((name) => CLASSES[name]!.some((start) => subgroup.startsWith(start)));
  const held = new Set<string>();
  for (const label of NAMES.keys()) {
    const designs = new Set(drawings.filter(({ subgroup }) => labelOf(subgroup) === label).map(({ design }) => design));
    for (const [i, design] of [...designs].sort().entries()) if (i % HELD_OUT === HELD_OUT - 1) held.add(design);
  }
  return drawings
    .map((drawing) => ({ ...drawing, label: labelOf(drawing.subgroup), test: held.has(drawing.design) }))
    .filter(({ label }) => label >= 0);
}

async function rasterise(drawings: readonly Placed[], side: number): Promise<Map<string, StoredTensor>> {
  const size = 3 * side * side;
  const images = new Uint8Array(drawings.length * size);
  for (let first = 0; first < drawings.length; first += TOGETHER) {
    const some = drawings.slice(first, first + TOGETHER);
    const drawn = await Promise.all(some.map((drawing) => draw(drawing, side)));
    for (const [i, pixels] of drawn.entries()) images.set(pixels, (first + i) * size);
  }
  const shape = [drawings.length];
  return new Map<string, StoredTensor>([
    ["images", { dtype: "U8", shape: [...shape, 3, side, side], data: images }],
    ["labels", { dtype: "U8", shape, data: Uint8Array.from(drawings, ({ label }) => label) }],
    ["test", { dtype: "BOOL", shape, data: Uint8Array.from(drawings, ({ test }) => Number(test)) }],
  ]);
}

/** Drawn at twice the wanted size and made smaller, which gives better edges; a drawing that is no square is put in the middle of one. */
async function draw({ svg, width }: Drawing, side: number): Promise<Uint8Array> {
  const background = "#ffffff";
  const { data, info } = await sharp(Buffer.from(svg), { density: (72 * 2 * side) / width })
    .resize(side, side, { kernel: "lanczos3", fit: "contain", background })
    .flatten({ background })
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  return planes({ data, width: side, height: side, bands: info.channels }, 3);
}

function halfOf(tensors: ReadonlyMap<string, StoredTensor>, test: boolean, channels: 1 | 3): ImageSet {
  const [images, labels, tests] = ["images", "labels", "test"].map((name) => tensors.get(name)!.data) as Uint8Array[];
  const side = tensors.get("images")!.shape[2]!;
  const places = [...labels!.keys()].filter((i) => tests![i] === Number(test));
  const size = side * side;
  const chosen = new Uint8Array(places.length * channels * size);
  for (const [k, place] of places.entries()) {
    const pixels = images!.subarray(place * 3 * size, (place + 1) * 3 * size);
    chosen.set(channels === 3 ? pixels : grey(pixels, side), k * channels * size);
  }
  return {
    images: chosen,
    labels: Uint8Array.from(places, (place) => labels![place]!),
    count: places.length,
    channels,
    height: side,
    width: side,
    classes: NAMES,
  };
}

/** Planes [3, side, side] to one. */
function grey(pixels: Uint8Array, side: number): Uint8Array {
  const size = side * side;
  const data = Uint8Array.from({ length: 3 * size }, (_, i) => pixels[(i % 3) * size + Math.floor(i / 3)]!);
  return planes({ data, width: side, height: side, bands: 3 }, 1);
}
