/**
 * How a window of the sample stream becomes the inputs of a training step: images as `x_start` (or `x`), labels as `y`, and for what is
 * drawn on the device the seed and the number of the batch's first sample.
 */
import { fail } from "../diagnostics/diagnostic.js";
import type { Port } from "../program/program.js";
import { evaluate } from "../program/size.js";
import type { Inputs } from "../runtime/inputs.js";

export type Feed = (window: { readonly x: Float32Array; readonly y: Int32Array }, first: number) => Inputs;

/** What one image is, for a model and for a data set. */
export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** The images that a training step takes. Error: DIT4211 (it takes none, or something else besides). */
export function imageShape(ports: readonly Port[]): ImageShape {
  const [, channels = 1, height = 1, width = 1] = imagePort(ports).shape.map((size) => evaluate(size, 1));
  return { channels, height, width };
}

function imagePort(ports: readonly Port[]): Port {
  const wanted = ports.filter(({ kind }) => kind === "input");
  const pixels = wanted.find(({ name }) => name === "x_start" || name === "x");
  const known = new Set([pixels?.name, "y", "seed", "first"]);
  const strange = wanted.map(({ name }) => name).filter((name) => !known.has(name));
  if (!pixels || strange.length > 0) {
    fail("DIT4211", "this program's training step is not one of labelled images", {
      notes: [`it takes ${wanted.map(({ name }) => name).join(", ")}; expected x_start or x, y, seed, first`],
      help: "compile it with draws=generated (the default), or write a loop of your own over the session",
    });
  }
  return pixels;
}

/** Error: DIT4211 (the program is not trained with labelled images, or with images of another size). */
export function feeder(ports: readonly Port[], images: ImageShape, seed: number): Feed {
  const pixels = imagePort(ports);
  const shape = pixels.shape.map((size) => evaluate(size, 1));
  const { channels, height, width } = images;
  if (shape.reduce((product, size) => product * size, 1) !== channels * height * width) {
    fail("DIT4211", `the images are ${channels} x ${height} x ${width}, the model takes ${shape.slice(1).join(" x ")}`, {
      help: "choose a preset for these images, or set inputSize and inChannels",
    });
  }
  const names = new Set(ports.filter(({ kind }) => kind === "input").map(({ name }) => name));
  return ({ x, y }, first) => ({
    [pixels.name]: x,
    ...(names.has("y") ? { y } : {}),
    ...(names.has("seed") ? { seed: Uint32Array.of(seed) } : {}),
    // The counter has 31 bits; the step is in the key too, so a wrap repeats nothing.
    ...(names.has("first") ? { first: Int32Array.of(first % 2 ** 31) } : {}),
  });
}
