/** A trained classifier as a judge: which class it sees in images, and how often it is right. */
import type { ImageSet } from "../data/image-set.js";
import { fail } from "../diagnostics/diagnostic.js";
import type { Bundle } from "../program/program.js";
import { evaluate } from "../program/size.js";
import { createSession } from "../runtime/session.js";
import type { Weights } from "./weights.js";

const BATCH = 256;

/**
 * The class of each image: where the entry `forward` gives its output `out` [batch, class] the largest value. `images`: values in [-1, 1],
 * one image after the other, in the shape of the model's input `x`. Error: DIT4260 (the model is no classifier of such images).
 */
export async function classify(bundle: Bundle, device: GPUDevice, weights: Weights, images: Float32Array): Promise<Int32Array> {
  const forward = bundle.program.entries.find(({ name }) => name === "forward");
  const x = forward?.inputs.find(({ name, kind }) => name === "x" && kind === "input");
  const out = forward?.outputs.find(({ name }) => name === "out");
  const size = x?.shape.reduce((n: number, s) => n * evaluate(s, 1), 1) ?? 0;
  if (!x || !out || out.shape.length !== 2 || size === 0 || images.length % size !== 0) {
    fail("DIT4260", `${bundle.program.model.name} is no classifier of these images`, {
      notes: [`expected an entry forward from x, whose images have ${size || "some number of"} values, to out [batch, class]`],
      help: "name a model like models/mlp.graph.ts, trained on images of this size",
    });
  }
  const classes = evaluate(out.shape[1]!, 1);
  const count = images.length / size;
  const seen = new Int32Array(count);
  const session = await createSession(bundle, device, { batch: BATCH, entries: ["forward"] });
  try {
    for (const { name } of bundle.program.parameters) {
      await session.write(`p.${name}`, weights.get(name) ?? fail("DIT4205", `there is no weight "${name}" to classify with`));
    }
    const window = new Float32Array(BATCH * size);
    for (let from = 0; from < count; from += BATCH) {
      const n = Math.min(BATCH, count - from);
      window.set(images.subarray(from * size, (from + n) * size));
      const { out: scores } = (await session.run("forward", { x: window })) as { out: Float32Array };
      for (let i = 0; i < n; i++) seen[from + i] = largest(scores.subarray(i * classes, (i + 1) * classes));
    }
  } finally {
    session.dispose();
  }
  return seen;
}

const largest = (row: Float32Array): number => row.reduce((best, x, i) => (x > row[best]! ? i : best), 0);

/** Share of the labels that were seen. */
export const accuracyOf = (seen: Int32Array, labels: ArrayLike<number>): number =>
  seen.reduce((right, label, i) => right + Number(label === labels[i]), 0) / seen.length;

/** The images of a set as a model sees them, in [-1, 1]. */
export const realsOf = ({ images }: ImageSet): Float32Array => Float32Array.from(images, (byte) => byte / 127.5 - 1);
