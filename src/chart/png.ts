/**
 * A drawing as PNG, without a canvas: each shape is a mask of how much of each pixel it covers (a pixel's distance to the nearest of its
 * segments says that), and the mask is blended once, so that joints and crossings of one line do not darken.
 */
import { encode } from "fast-png";
import { type Drawing, type Shape, styles } from "./drawing.js";
import { strokesOf } from "./font.js";

/** RGB on white. */
export function drawingPng({ width, height, shapes }: Drawing): Uint8Array {
  const canvas = new Canvas(width, height);
  for (const shape of shapes) {
    for (const points of linesOf(shape)) canvas.stroke(points, halfWidthOf(shape));
    canvas.blend(styles[shape.role].light);
  }
  return encode({ width, height, data: canvas.data, channels: 3, depth: 8 });
}

function linesOf(shape: Shape): readonly (readonly number[])[] {
  switch (shape.kind) {
    case "line":
      return [shape.points];
    case "dot":
      return [[shape.x, shape.y, shape.x, shape.y]];
    case "text":
      return strokesOf(shape.text, shape.x, shape.y, shape.size, shape.anchor);
  }
}

const halfWidthOf = (shape: Shape): number => (shape.kind === "dot" ? shape.radius : styles[shape.role].width / 2);

class Canvas {
  readonly data: Uint8Array;
  readonly #width: number;
  readonly #height: number;
  readonly #mask: Float32Array;
  /** What the mask holds since the last blend: columns and rows, the ends left out. */
  #left = 0;
  #right = 0;
  #top = 0;
  #bottom = 0;

  constructor(width: number, height: number) {
    this.#width = width;
    this.#height = height;
    this.data = new Uint8Array(3 * width * height).fill(255);
    this.#mask = new Float32Array(width * height);
    this.#reset();
  }

  /** A polyline with round ends; x and y by turns. */
  stroke(points: readonly number[], half: number): void {
    for (let i = 0; i + 3 < points.length; i += 2)
      this.#segment(points[i]!, points[i + 1]!, points[i + 2]!, points[i + 3]!, half);
  }

  #segment(x0: number, y0: number, x1: number, y1: number, half: number): void {
    const edge = half + 0.5;
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - edge));
    const right = Math.min(this.#width, Math.ceil(Math.max(x0, x1) + edge));
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - edge));
    const bottom = Math.min(this.#height, Math.ceil(Math.max(y0, y1) + edge));
    const [dx, dy] = [x1 - x0, y1 - y0];
    const square = dx * dx + dy * dy;
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) {
        // From the middle of the pixel to the nearest point of the segment.
        const [px, py] = [column + 0.5 - x0, row + 0.5 - y0];
        const along = square === 0 ? 0 : Math.max(0, Math.min(1, (px * dx + py * dy) / square));
        const [ex, ey] = [px - along * dx, py - along * dy];
        const cover = Math.min(1, 2 * half, edge - Math.sqrt(ex * ex + ey * ey));
        const at = row * this.#width + column;
        if (cover > this.#mask[at]!) this.#mask[at] = cover;
      }
    }
    this.#left = Math.min(this.#left, left);
    this.#right = Math.max(this.#right, right);
    this.#top = Math.min(this.#top, top);
    this.#bottom = Math.max(this.#bottom, bottom);
  }

  /** Paints what is masked and clears the mask. */
  blend(colour: string): void {
    const rgb = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
    for (let row = this.#top; row < this.#bottom; row++) {
      for (let at = row * this.#width + this.#left; at < row * this.#width + this.#right; at++) {
        const cover = this.#mask[at]!;
        if (cover === 0) continue;
        for (let c = 0; c < 3; c++) this.data[3 * at + c] = Math.round((1 - cover) * this.data[3 * at + c]! + cover * rgb[c]!);
        this.#mask[at] = 0;
      }
    }
    this.#reset();
  }

  #reset(): void {
    [this.#left, this.#right, this.#top, this.#bottom] = [this.#width, 0, this.#height, 0];
  }
}
