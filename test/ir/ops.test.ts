/**
 * Tests derived from the op table alone: each row with each of its samples. A new op is tested by being in the table.
 */
import { describe, expect, test } from "vitest";
import type { DenseInput } from "../../src/ir/eval.js";
import type { Module } from "../../src/ir/graph.js";
import { opTable } from "../../src/ir/ops/index.js";
import type { Sample } from "../../src/ir/ops/op.js";
import { parseModule } from "../../src/ir/parse.js";
import { printModule } from "../../src/ir/print.js";
import { sameModule } from "../../src/ir/same.js";
import { tensorType } from "../../src/ir/types.js";
import { verify } from "../../src/ir/verify.js";
import { attrsOf, gradientModule, isFloat, moduleOf, run } from "./op-modules.js";
import { randomDense, randomOf, sampleInputs } from "./samples.js";

/** Central differences of sum(dy * y) in each element of an operand. */
function numericGradient(module: Module, inputs: ReadonlyMap<string, DenseInput>, name: string, dy: DenseInput): Float64Array {
  const given = inputs.get(name)!;
  const h = 1e-5;
  const lossAt = (i: number, step: number): number => {
    const data = Float64Array.from(given.data);
    data[i] = data[i]! + step;
    const y = run(module, new Map([...inputs, [name, { shape: given.shape, data }]])).get("y0")!.data;
    return y.reduce((total, v, k) => total + v * dy.data[k]!, 0);
  };
  return Float64Array.from({ length: given.data.length }, (_, i) => (lossAt(i, h) - lossAt(i, -h)) / (2 * h));
}

const rows = [...opTable.values()].map((row) => [row.op, row] as const);

describe.each(rows)("%s", (_op, row) => {
  test("says what it does", () => {
    expect(row.doc).toMatch(/\w/);
    expect(row.doc.endsWith(".")).toBe(false);
    if (typeof row.vjp !== "function") expect(row.vjp.nondifferentiable).toMatch(/\w/);
    expect(row.samples.length).toBeGreaterThan(0);
  });

  describe.each(row.samples.map((sample, i) => [i, sample as Sample] as const))("sample %i", (i, sample) => {
    const module = moduleOf(row, sample);
    const inputs = sampleInputs(sample, 100 + i);

    test("is a legal module", () => {
      verify(module);
    });

    test.each(["f64", "f32"] as const)("eval gives what infer promises (%s)", (precision) => {
      const fn = module.fns[0]!;
      const results = run(module, inputs, precision);
      for (const { name, value } of fn.results) {
        const { shape, data, type } = results.get(name)!;
        expect(shape).toEqual(value.type.shape);
        expect(data.length).toBe(shape.reduce((a, n) => a * n, 1));
        expect(data.every((v) => Number.isFinite(v))).toBe(true);
        if (type.dtype === "bool") expect(data.every((v) => v === 0 || v === 1)).toBe(true);
        if (type.dtype === "i32" || type.dtype === "u32") expect(data.every((v) => Number.isInteger(v))).toBe(true);
        if (type.dtype === "f32" && precision === "f32") expect(data.every((v) => v === Math.fround(v))).toBe(true);
      }
    });

    test("prints and parses", () => {
      const text = printModule(module);
      const again = parseModule(text);
      expect(sameModule(again, module)).toBe(true);
      expect(printModule(again)).toBe(text);
    });

    test("is refused without its last operand", () => {
      if (row.operands === "variadic" || sample.inputs.length === 0) return;
      const fn = module.fns[0]!;
      const node = fn.nodes[0]!;
      const broken: Module = { ...module, fns: [{ ...fn, nodes: [{ ...node, inputs: node.inputs.slice(1) }] }] };
      expect(() => verify(broken)).toThrow(`takes ${sample.inputs.length} operands`);
    });

    test("counts its work", () => {
      const node = module.fns[0]!.nodes[0]!;
      const { macs, flops } = row.cost(
        sample.inputs,
        node.outputs.map((v) => v.type),
        attrsOf(sample) as never,
      );
      expect(Number(macs)).toBeGreaterThanOrEqual(0);
      expect(Number(flops)).toBeGreaterThanOrEqual(2 * Number(macs));
    });

    if (row.fusion.kind === "elementwise") {
      const { wgsl } = row.fusion;
      test("has a WGSL expression over its operands", () => {
        const args = sample.inputs.map((_, k) => `arg${k}`);
        const text = wgsl(args, attrsOf(sample), module.fns[0]!.nodes[0]!.outputs[0]!.type);
        for (const arg of args) expect(text).toContain(arg);
      });
    }

    const output = module.fns[0]!.nodes[0]!.outputs[0]!;
    if (typeof row.vjp === "function" && isFloat(output.type)) {
      test("vjp agrees with central differences", () => {
        const withGradients = gradientModule(row, sample);
        verify(withGradients);
        const dy = randomDense(tensorType("f32", output.type.axes, output.type.shape), [-1, 1], randomOf(7 + i));
        const results = run(withGradients, new Map([...inputs, ["dy", dy]]));
        sample.inputs.forEach((type, k) => {
          if (!isFloat(type)) return;
          const numeric = numericGradient(module, inputs, `x${k}`, dy);
          const found = results.get(`d${k}`);
          if (found) expect(found.shape).toEqual(type.shape);
          numeric.forEach((n, e) => {
            const a = found ? found.data[e]! : 0;
            expect(Math.abs(a - n), `d/dx${k}[${e}]: ${a}, by differences ${n}`).toBeLessThanOrEqual(
              1e-6 * Math.max(1, Math.abs(n)),
            );
          });
        });
      });
    }
  });
});

test("every op has a row of its own", () => {
  expect(opTable.size).toBeGreaterThan(40);
  for (const [op, row] of opTable) expect(row.op).toBe(op);
});
