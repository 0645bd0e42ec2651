/**
 * Fixed sinusoidal tables: timestep features and position embeddings (DiT, Peebles and Xie 2022).
 *
 * Idea: arguments reach 999 radians, where a GPU's own sin and cos are off by 1e-4 and more, and every model shares the same few
 * numbers. So both tables are computed in f64 here, stored as f32 in the compiled program, and only gathered from or added on the GPU.
 */
import { fail } from "../diagnostics/diagnostic.js";

/**
 * Sinusoidal features of timesteps, row-major [t.length, width]: width/2 cosines first, then width/2 sines of t * w_k with
 * w_k = 10000^(-k / (width/2)). Timesteps are those of the original process and may be fractional. Error: DIT4110 (odd width).
 */
export function timestepFeatures(t: ArrayLike<number>, width = 256): Float64Array {
  if (!Number.isSafeInteger(width) || width < 2 || width % 2 !== 0) {
    fail("DIT4110", `timestep features of width ${width}: expected an even whole number`, {
      help: "half of the features are cosines and half are sines; the paper's models have 256",
    });
  }
  const half = width / 2;
  const frequencies = Float64Array.from({ length: half }, (_, k) => Math.exp((-Math.log(10000) * k) / half));
  const table = new Float64Array(t.length * width);
  for (let row = 0; row < t.length; row++) {
    for (let k = 0; k < half; k++) {
      const angle = t[row]! * frequencies[k]!;
      table[row * width + k] = Math.cos(angle);
      table[row * width + half + k] = Math.sin(angle);
    }
  }
  return table;
}

/** Features of the timesteps 0 .. steps-1, row-major [steps, width]. */
export const timestepTable = (steps = 1000, width = 256): Float64Array => timestepFeatures([...Array(steps).keys()], width);

/**
 * Position embedding of a square grid, row-major [grid^2, width]. With q = width/4 and w_k = 10000^(-k/q), the token at row r and
 * column c gets four runs of q: sin(c w), cos(c w), sin(r w), cos(r w). **The column comes first.** Error: DIT4111.
 */
export function positionTable(width: number, grid: number): Float64Array {
  if (!Number.isSafeInteger(width) || width < 4 || width % 4 !== 0 || !Number.isSafeInteger(grid) || grid < 1) {
    fail("DIT4111", `position table of width ${width} for a grid of ${grid} x ${grid} tokens cannot be built`, {
      notes: ["sines and cosines of row and column take a quarter of the width each"],
      help: "choose a width that is a multiple of 4, and a grid of at least 1",
    });
  }
  const quarter = width / 4;
  const table = new Float64Array(grid * grid * width);
  for (let k = 0; k < quarter; k++) {
    const frequency = 10000 ** (-k / quarter);
    for (let place = 0; place < grid; place++) {
      const [sine, cosine] = [Math.sin(place * frequency), Math.cos(place * frequency)];
      for (let other = 0; other < grid; other++) {
        const asColumn = (other * grid + place) * width + k;
        table[asColumn] = sine;
        table[asColumn + quarter] = cosine;
        const asRow = (place * grid + other) * width + k;
        table[asRow + 2 * quarter] = sine;
        table[asRow + 3 * quarter] = cosine;
      }
    }
  }
  return table;
}
