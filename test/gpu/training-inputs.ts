// What a classifier's training step starts from: the same numbers for the reference and for the adapter.
import type { DenseInput } from "../../src/ir/eval.js";
import type { Module } from "../../src/ir/graph.js";
import { evaluate as sizeAt } from "../../src/program/size.js";
import { numbers } from "./numbers.js";

/** All parameters of a training step: images, labels below 4, weights, and zeros for moments and the step counter. */
export function trainingInputs(module: Module, batch: number): Map<string, DenseInput> {
  const fn = module.fns.find((f) => f.name === "train_step")!;
  return new Map(
    fn.params.map((p, i): [string, DenseInput] => {
      const shape = p.value.type.shape.map((s) => sizeAt(s, batch));
      const count = shape.reduce((a, n) => a * n, 1);
      if (p.name === "y") return [p.name, { shape, data: Float64Array.from({ length: count }, (_, k) => k % 4) }];
      const zero = p.name === "step" || /^[mv]\./.test(p.name);
      return [p.name, { shape, data: zero ? new Float64Array(count) : numbers(count, 100 + i) }];
    }),
  );
}

/** As a session wants it. */
export const typed = (name: string, data: ArrayLike<number>) =>
  name === "y" || name === "step" ? Int32Array.from(data) : Float32Array.from(data);
