/** Modules derived from the op table: an op with one of its samples, and with its gradient beside it. */
import { expect } from "vitest";
import { Builder } from "../../src/ir/builder.js";
import { type DenseInput, evaluate } from "../../src/ir/eval.js";
import type { Module } from "../../src/ir/graph.js";
import type { AnyOp, Sample } from "../../src/ir/ops/op.js";
import type { TensorType } from "../../src/ir/types.js";

export const isFloat = (type: TensorType): boolean => type.dtype === "f32" || type.dtype === "f16";
export const attrsOf = (sample: Sample) => sample.attrs ?? {};

/** fn @main of one node, its operands and results as parameters and results. */
export function moduleOf(row: AnyOp, sample: Sample): Module {
  const b = new Builder();
  const inputs = sample.inputs.map((type, i) => b.param(`x${i}`, "input", type));
  const outputs = b.emit(row.op, inputs, attrsOf(sample));
  return {
    stage: "graph",
    fns: [
      b.finish(
        "main",
        outputs.map((value, i) => ({ name: `y${i}`, value })),
      ),
    ],
  };
}

/** The same with a parameter dy, and the gradients of the float operands as results d0, d1, … where there are any. */
export function gradientModule(row: AnyOp, sample: Sample): Module {
  if (typeof row.vjp !== "function") throw new Error("not differentiable");
  const b = new Builder();
  const inputs = sample.inputs.map((type, i) => b.param(`x${i}`, "input", type));
  const outputs = b.emit(row.op, inputs, attrsOf(sample));
  const output = outputs[0]!;
  const dy = b.param("dy", "input", output.type);
  const grads = row.vjp(b, { dy, inputs, output, outputs, wanted: inputs.map(() => true) }, attrsOf(sample) as never);
  expect(grads.length, "one gradient for each operand").toBe(inputs.length);
  const results = grads.flatMap((value, i) => (value && isFloat(inputs[i]!.type) ? [{ name: `d${i}`, value }] : []));
  return { stage: "graph", fns: [b.finish("main", [{ name: "y0", value: output }, ...results])] };
}

export const run = (module: Module, inputs: ReadonlyMap<string, DenseInput>, precision: "f64" | "f32" = "f64") =>
  evaluate(module, "main", inputs, { batch: 1, precision });
