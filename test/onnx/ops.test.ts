/**
 * Each op of the table with each of its samples, and with its gradient as a graph of several ops: what onnxruntime computes from its ONNX
 * form against the CPU reference. An op that has no form must be one that no forward pass contains.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { onnxGraph } from "../../src/exports/onnx/build.js";
import { forms } from "../../src/exports/onnx/ops.js";
import { modelProto } from "../../src/exports/onnx/proto.js";
import type { Piece } from "../../src/exports/onnx/protobuf.js";
import type { DenseInput } from "../../src/ir/eval.js";
import type { Module } from "../../src/ir/graph.js";
import { opTable } from "../../src/ir/ops/index.js";
import type { Sample } from "../../src/ir/ops/op.js";
import type { DType } from "../../src/ir/types.js";
import { gradientModule, moduleOf, run } from "../ir/op-modules.js";
import { randomDense, randomOf, sampleInputs } from "../ir/samples.js";
import { type Given, onnxruntime, runOnnx } from "./runtime.js";

beforeAll(() => {
  onnxruntime();
}, 240_000);

const trainingOnly = [
  "gelu_grad",
  "silu_grad",
  "sum_runs",
  "attention_grad_q",
  "attention_grad_kv",
  "normalize_grad",
  "draw",
  "sum_of_squares",
  "accumulate",
];

test("the ops without a form are those that no forward pass contains", () => {
  expect([...opTable.keys()].filter((op) => !forms[op]).sort()).toEqual([...trainingOnly].sort());
  expect(Object.keys(forms).filter((op) => !opTable.has(op))).toEqual([]);
});

const types: Partial<Record<DType, Given["type"]>> = { f32: "float32", i32: "int32", u32: "uint32", bool: "bool" };

function given(type: DType, { shape, data }: DenseInput): Given {
  const elements = { f32: Float32Array, i32: Int32Array, u32: Uint32Array, bool: Uint8Array, f16: Float32Array }[type];
  return { type: types[type]!, data: elements.from(data as number[]), shape };
}

/** The results of @main by the reference and by onnxruntime. */
async function both(module: Module, inputs: ReadonlyMap<string, DenseInput>) {
  const fn = module.fns[0]!;
  const graph = onnxGraph("main", fn, () => {
    throw new Error("there are no constants here");
  });
  const bytes = Buffer.concat(modelProto(graph, { name: "test", version: "0" }, {}).pieces.map(there));
  const feeds = Object.fromEntries(fn.params.map(({ name, value }) => [name, given(value.type.dtype, inputs.get(name)!)]));
  return { expected: run(module, inputs, "f32"), found: await runOnnx(bytes, feeds) };
}

function there(piece: Piece): Uint8Array {
  if (!(piece instanceof Uint8Array)) throw new Error("all is there");
  return piece;
}

async function compare(module: Module, inputs: ReadonlyMap<string, DenseInput>): Promise<void> {
  const { expected, found } = await both(module, inputs);
  for (const [name, { data, shape }] of expected) {
    expect([...found[name]!.dims], name).toEqual([...shape]);
    const largest = data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const worst = data.reduce((most, x, i) => Math.max(most, Math.abs(x - Number(found[name]!.data[i]))), 0);
    // f32 in another order, and functions of another library.
    expect(worst, name).toBeLessThanOrEqual(4e-6 * Math.max(1, largest));
  }
}

const rows = [...opTable.values()].filter((row) => forms[row.op]).map((row) => [row.op, row] as const);

describe.each(rows)("%s", (op, row) => {
  test.each(row.samples.map((sample, i) => [i, sample as Sample] as const))("sample %i", async (i, sample) => {
    await compare(moduleOf(row, sample), sampleInputs(sample, 100 + i));
  });

  const { vjp } = row;
  if (typeof vjp !== "function" || row.samples[0].inputs.length === 0) return;
  const [sample] = row.samples as readonly [Sample];
  const module = gradientModule(row, sample);
  if (module.fns[0]!.nodes.some((node) => !forms[node.op])) return;
  test("the ops of its gradient, one after the other", async () => {
    const inputs = sampleInputs(sample, 7);
    const dy = module.fns[0]!.params.at(-1)!.value.type;
    await compare(module, new Map([...inputs, ["dy", randomDense(dy, [-1, 1], randomOf(op.length))]]));
  });
});
