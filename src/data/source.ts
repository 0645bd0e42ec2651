/**
 * Labelled images as training sees them: any of them by its number, decoded when it is asked for. What lies in memory (idx files, emoji),
 * in a folder of PNG, JPEG and WebP files, or in a file of latents looks the same from here.
 */
import { fail } from "../diagnostics/diagnostic.js";
import type { ImageSet } from "./image-set.js";

export interface ImageSource {
  readonly count: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Class names, in order. */
  readonly classes: readonly string[];
  /** Class of every image, [count], 0 .. classes-1: known without decoding. */
  readonly labels: Int32Array;
  /**
   * Values of these images, row-major [indices, channels, height, width]: pixels in [-1, 1], latents as stored times their scale. The same
   * index, the same values.
   */
  load(indices: Uint32Array): Promise<Float32Array<ArrayBuffer>>;
  /** Ends threads and closes files; what is being loaded fails. */
  close(): Promise<void>;
}

/** An image that was left out, and why. */
export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

export interface DataSet {
  /** What it was opened as. */
  readonly name: string;
  readonly train: ImageSource;
  /** Images that are no training images, where the set has such. */
  readonly test?: ImageSource;
  /** What must stand beside all that is made of this data, where its licence says so. */
  readonly attribution?: string;
  /** Whether a mirrored image is as good an image: yes for pictures, no for latents. */
  readonly mirrored: boolean;
  /** Broken images that were met so far and left out (see `skipBroken`); grows while images are decoded. */
  readonly skipped: readonly Skipped[];
  close(): Promise<void>;
}

/** Values 0..255 as they are trained on. */
const REAL = Float32Array.from({ length: 256 }, (_, byte) => byte / 127.5 - 1);

/** Writes bytes as numbers in [-1, 1] at `to[at]` and on. */
export function toReal(bytes: Uint8Array, to: Float32Array, at: number): void {
  for (let i = 0; i < bytes.length; i++) to[at + i] = REAL[bytes[i]!]!;
}

/** A set that lies in memory, as a source. Error: DIT4040 (it is empty, or its sizes disagree). */
export function inMemory(set: ImageSet): ImageSource {
  const { images, labels, count, channels, height, width, classes } = set;
  const size = channels * height * width;
  if (count < 1 || images.length !== count * size || labels.length !== count) {
    fail("DIT4040", `an image set of ${count} images of ${channels} x ${height} x ${width} cannot be used`, {
      notes: [`expected ${count * size} pixels and ${count} labels, found ${images.length} and ${labels.length}`],
      help: "give at least one image, and as many labels as images",
    });
  }
  return {
    count,
    channels,
    height,
    width,
    classes,
    labels: Int32Array.from(labels),
    async load(indices) {
      const x = new Float32Array(indices.length * size);
      indices.forEach((index, k) => void toReal(images.subarray(index * size, (index + 1) * size), x, k * size));
      return x;
    },
    async close() {},
  };
}

/**
 * Error: DIT4042 (the data has classes that the model does not know, or one class only and the model several). A sentence, where the model
 * has classes that the data does not: it learns nothing of them.
 */
export function checkClasses({ name, train: { classes } }: DataSet, numClasses: number): string | undefined {
  const help = `--set numClasses=${classes.length} makes a model of ${classes.length === 1 ? "one class" : "these classes"}`;
  // A model without classes learns all images alike.
  if (numClasses === 0) return undefined;
  if (classes.length > numClasses) {
    fail("DIT4042", `${name} has ${classes.length} classes, the model ${numClasses}`, { notes: [listed(classes)], help });
  }
  if (classes.length === 1 && numClasses > 1) {
    fail("DIT4042", `${name} has one class only, the model ${numClasses}`, {
      notes: [listed(classes)],
      help: `${help}, which draws without a choice; or sort the images into more folders`,
    });
  }
  if (classes.length === numClasses) return undefined;
  return `${name} has ${classes.length} classes, the model ${numClasses}: it learns nothing of ${classes.length}..${numClasses - 1} (${help})`;
}

function listed(classes: readonly string[]): string {
  const few = classes.slice(0, 12).join(", ");
  return `${classes.length === 1 ? "the class is" : "the classes are"} ${few}${classes.length > 12 ? ", …" : ""}`;
}
