/** Labelled images in memory, as bytes: what datasets give and batches take. */
export interface ImageSet {
  /** Pixels 0..255, row-major [count, channels, height, width]. */
  readonly images: Uint8Array;
  /** Class of each image, 0 .. classes-1. */
  readonly labels: Uint8Array | Int32Array;
  readonly count: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Class names, in order. */
  readonly classes: readonly string[];
}
