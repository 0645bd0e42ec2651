// Draws a small set of images, so that there is something to train on: a folder with one sub-folder a class, as your own would be.
//   node examples/shapes.mjs FOLDER [images a class, default 200]
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "fast-png";

const [folder, count = "200"] = process.argv.slice(2);
if (folder === undefined || !/^\d+$/.test(count)) {
  console.error("usage: node examples/shapes.mjs FOLDER [images a class]");
  process.exit(1);
}

const SIDE = 48;
/** Whether a point, from the middle and in units of the radius, is in the shape. */
const shapes = {
  circle: (x, y) => x * x + y * y < 1,
  cross: (x, y) => Math.min(Math.abs(x), Math.abs(y)) < 0.3 && Math.max(Math.abs(x), Math.abs(y)) < 1,
  square: (x, y) => Math.max(Math.abs(x), Math.abs(y)) < 0.85,
};

// A counter hashed to numbers in [0, 1): the same images on every machine.
let state = 1;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};

for (const [name, inside] of Object.entries(shapes)) {
  mkdirSync(join(folder, name), { recursive: true });
  for (let i = 0; i < Number(count); i++) {
    const [cx, cy] = [SIDE * (0.4 + 0.2 * random()), SIDE * (0.4 + 0.2 * random())];
    const radius = SIDE * (0.22 + 0.12 * random());
    const [shape, ground] = [0, 1].map((bright) =>
      [0, 1, 2].map(() => 255 * (bright === 1 ? 0.8 + 0.2 * random() : 0.55 * random())),
    );
    const data = new Uint8Array(3 * SIDE * SIDE);
    for (let y = 0; y < SIDE; y++)
      for (let x = 0; x < SIDE; x++)
        for (let c = 0; c < 3; c++)
          data[3 * (y * SIDE + x) + c] = (inside((x - cx) / radius, (y - cy) / radius) ? shape : ground)[c];
    writeFileSync(
      join(folder, name, `${String(i).padStart(4, "0")}.png`),
      encode({ width: SIDE, height: SIDE, data, channels: 3 }),
    );
  }
}
console.log(`wrote ${count} images of each of ${Object.keys(shapes).join(", ")} to ${folder}`);
