/** Random inputs for the samples of the op table, the same in every test that derives from it. */
import type { DenseInput } from "../../src/ir/eval.js";
import type { Sample } from "../../src/ir/ops/op.js";
import type { TensorType } from "../../src/ir/types.js";

/** A small generator of its own (mulberry32), so that tests do not lean on the code they test. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x = (x + Math.imul(x ^ (x >>> 7), x | 61)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A tensor of the type given, integers from [low, high), floats uniform. Sizes must be numbers. */
export function randomDense(type: TensorType, [low, high]: readonly [number, number], random: () => number): DenseInput {
  const shape = type.shape.map(Number);
  const float = type.dtype === "f32" || type.dtype === "f16";
  const data = Float64Array.from({ length: shape.reduce((a, n) => a * n, 1) }, () => {
    const x = low + (high - low) * random();
    return float ? x : Math.floor(x);
  });
  return { shape, data };
}

/** Inputs of one sample, called x0, x1, … */
export function sampleInputs(sample: Sample, seed: number): Map<string, DenseInput> {
  const random = randomOf(seed);
  const domainOf = (i: number): readonly [number, number] => {
    const { domain } = sample;
    if (!domain) return [-2, 2];
    const own = domain[i];
    return Array.isArray(domain[0]) ? (own as readonly [number, number]) : (domain as readonly [number, number]);
  };
  return new Map(sample.inputs.map((type, i) => [`x${i}`, randomDense(type, domainOf(i), random)]));
}
