/** Samples as one picture: a grid of images, encoded as PNG. Works in Node and in the browser. */
import { encode } from "fast-png";
import { fail } from "../diagnostics/diagnostic.js";

export interface GridOptions {
  /** Images in a row. Default: as square as possible. */
  readonly columns?: number;
  /** Pixels between and around the images. Default 2. */
  readonly padding?: number;
  /** Whole factor of enlargement, nearest neighbour. Default 1. */
  readonly scale?: number;
  /** Grey level 0..255 of the padding. Default 0. */
  readonly background?: number;
}

/**
 * A PNG of images in [-1, 1], row-major `shape` = [n, channels, height, width] with 1 (grey) or 3 (RGB) channels. Bytes are
 * clamp(127.5 x + 128, 0, 255) cut to whole numbers, as the ADM evaluation makes them; NaN becomes 0.
 * Errors: DIT4050 (shape), DIT4051 (options).
 */
export function gridPng(images: Float32Array, shape: readonly number[], options: GridOptions = {}): Uint8Array {
  const [n, channels, height, width] = shape as readonly [number, number, number, number];
  const whole = shape.length === 4 && shape.every((size) => Number.isSafeInteger(size) && size > 0);
  if (!whole || (channels !== 1 && channels !== 3) || images.length !== n * channels * height * width) {
    fail("DIT4050", `a picture cannot be made of ${images.length} values as [${shape.join(", ")}]`, {
      help: "give [images, 1 or 3 channels, height, width] and as many values; decode latents first",
    });
  }
  const { columns = Math.ceil(Math.sqrt(n)), padding = 2, scale = 1, background = 0 } = options;
  const sizes = [columns, scale, padding + 1, background + 1];
  if (!sizes.every((size) => Number.isSafeInteger(size) && size > 0) || background > 255) {
    fail(
      "DIT4051",
      `a grid of columns ${columns}, padding ${padding}, scale ${scale}, background ${background} cannot be drawn`,
      {
        help: "give whole numbers: columns and scale from 1, padding from 0, background 0 to 255",
      },
    );
  }
  const across = Math.min(columns, n);
  const [cellWidth, cellHeight] = [width * scale + padding, height * scale + padding];
  const totalWidth = across * cellWidth + padding;
  const totalHeight = Math.ceil(n / across) * cellHeight + padding;
  const data = new Uint8Array(totalWidth * totalHeight * channels).fill(background);
  for (let image = 0; image < n; image++) {
    const left = padding + (image % across) * cellWidth;
    const top = padding + Math.floor(image / across) * cellHeight;
    for (let channel = 0; channel < channels; channel++) {
      const plane = (image * channels + channel) * height * width;
      for (let row = 0; row < height * scale; row++) {
        for (let column = 0; column < width * scale; column++) {
          const value = images[plane + Math.floor(row / scale) * width + Math.floor(column / scale)]!;
          data[((top + row) * totalWidth + left + column) * channels + channel] = toByte(value);
        }
      }
    }
  }
  return encode({ width: totalWidth, height: totalHeight, data, channels, depth: 8 });
}

/** Truncation is what storing into a Uint8Array does; NaN is stored as 0. */
const toByte = (x: number): number => Math.min(255, Math.max(0, 127.5 * x + 128));
