/**
 * The centre crop of ADM (Dhariwal and Nichol 2021, image_datasets.py), which DiT's figures are made with: halve by averages while the
 * short side is at least twice the wanted one, resize it bicubically to the wanted one, cut out the middle square.
 *
 * ADM resizes with Pillow, and resizing libraries differ at edges, in rounding and in their boxes, so Pillow's arithmetic is written out
 * here: two passes over bytes with weights in 22-bit fixed point. The bytes are Pillow's own (test/data/crop.test.ts holds them together).
 *
 * JavaScript, because worker threads run it from src (under vitest) as from dist; its types are checked all the same.
 */
// @ts-check

/**
 * Rows of interleaved bytes: [height, width, bands].
 * @typedef {{ data: Uint8Array, width: number, height: number, bands: number }} Raster
 */

/** @typedef {{ support: number, weight: (x: number) => number }} Filter */
/** @typedef {{ first: number, weights: Int32Array }} Window */

/** @type {Filter} */
const box = { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };
const A = -0.5;
/** @type {Filter} Catmull-Rom. */
const bicubic = {
  support: 2,
  weight(signed) {
    const x = Math.abs(signed);
    if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * A : 0;
  },
};

const FRACTION = 22;

/**
 * The middle side x side of an image whose short side is resized to `side`.
 * @param {Raster} image
 * @param {number} side
 * @returns {Raster}
 */
export function centreCrop(image, side) {
  let small = image;
  while (Math.min(small.width, small.height) >= 2 * side) {
    small = resize(small, Math.floor(small.width / 2), Math.floor(small.height / 2), box);
  }
  const scale = side / Math.min(small.width, small.height);
  small = resize(small, roundEven(small.width * scale), roundEven(small.height * scale), bicubic);
  const [left, top] = [Math.floor((small.width - side) / 2), Math.floor((small.height - side) / 2)];
  const row = side * image.bands;
  const data = new Uint8Array(side * row);
  for (let y = 0; y < side; y++) {
    const begin = ((top + y) * small.width + left) * image.bands;
    data.set(small.data.subarray(begin, begin + row), y * row);
  }
  return { data, width: side, height: side, bands: image.bands };
}

/**
 * Bytes as models take them, [channels, height, width]: red, green and blue, or grey, the luma of ITU-R 601 as Pillow rounds it. Of an
 * image with one or two bands the first is grey; a fourth is not looked at.
 * @param {Raster} image
 * @param {1 | 3} channels
 */
export function planes({ data, width, height, bands }, channels) {
  const size = width * height;
  const out = new Uint8Array(channels * size);
  const [green, blue] = bands < 3 ? [0, 0] : [1, 2];
  for (let pixel = 0; pixel < size; pixel++) {
    const at = pixel * bands;
    const [r, g, b] = [/** @type {number} */ (data[at]), data[at + green] ?? 0, data[at + blue] ?? 0];
    if (channels === 1) out[pixel] = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
    else {
      out[pixel] = r;
      out[size + pixel] = g;
      out[2 * size + pixel] = b;
    }
  }
  return out;
}

/**
 * Python's round: halves go to the even neighbour.
 * @param {number} x
 */
function roundEven(x) {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

/**
 * @param {Raster} image
 * @param {number} width
 * @param {number} height
 * @param {Filter} filter
 * @returns {Raster}
 */
export function resize(image, width, height, filter) {
  const { bands } = image;
  let { data } = image;
  // Along rows first, then along columns; each rounds to bytes.
  if (width !== image.width) data = pass(data, image.height, image.width, width, bands, filter);
  if (height !== image.height) data = pass(data, 1, image.height, height, width * bands, filter);
  return { data, width, height, bands };
}

/**
 * Resizes the middle axis of [outer, from, inner] to [outer, to, inner].
 * @param {Uint8Array} data
 * @param {number} outer
 * @param {number} from
 * @param {number} to
 * @param {number} inner
 * @param {Filter} filter
 */
function pass(data, outer, from, to, inner, filter) {
  // What is stored is clamped to 0..255, as Pillow clips.
  const out = new Uint8ClampedArray(outer * to * inner);
  const windows = Array.from({ length: to }, (_, i) => windowOf(i, from, to, filter));
  const half = 1 << (FRACTION - 1);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < to; i++) {
      const { first, weights } = /** @type {Window} */ (windows[i]);
      const begin = (o * from + first) * inner;
      const at = (o * to + i) * inner;
      const taps = weights.length;
      for (let k = 0; k < inner; k++) {
        let sum = half;
        for (let w = 0, p = begin + k; w < taps; w++, p += inner) {
          sum = (sum + Math.imul(/** @type {number} */ (data[p]), /** @type {number} */ (weights[w]))) | 0;
        }
        out[at + k] = sum >> FRACTION;
      }
    }
  }
  return new Uint8Array(out.buffer);
}

/**
 * Which elements output i is made of, and their weights in fixed point. Shrinking widens the filter, so that nothing aliases; at the
 * edges the weights that are left are made to add up to one.
 * @param {number} i
 * @param {number} from
 * @param {number} to
 * @param {Filter} filter
 * @returns {Window}
 */
function windowOf(i, from, to, filter) {
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const support = filter.support * stretch;
  const centre = (i + 0.5) * scale;
  const first = Math.max(0, Math.trunc(centre - support + 0.5));
  const end = Math.min(from, Math.trunc(centre + support + 0.5));
  const real = Array.from({ length: end - first }, (_, k) => filter.weight((k + first - centre + 0.5) / stretch));
  const sum = real.reduce((total, x) => total + x, 0);
  const weights = Int32Array.from(real, (x) => {
    const fixed = (x / sum) * 2 ** FRACTION;
    return Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
  });
  return { first, weights };
}
