/**
 * Attention and its gradients on the GPU at sizes that divide by nothing, through views of one qkv tensor, by subgroups, tiled and naive,
 * against the f64 reference. Nothing of queries × keys is in memory: the plan's storages are listed.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Builder } from "../../src/ir/builder.js";
import { evaluate } from "../../src/ir/eval.js";
import type { Module } from "../../src/ir/graph.js";
import { attention } from "../../src/ir/ops/attention.js";
import { mul } from "../../src/ir/ops/elementwise.js";
import { drop, rename, slice, split, sum, transpose } from "../../src/ir/ops/shape.js";
import { tensorType } from "../../src/ir/types.js";
import { dce } from "../../src/passes/dce.js";
import { differentiate } from "../../src/passes/differentiate.js";
import { fuse } from "../../src/passes/fuse/index.js";
import { layout } from "../../src/passes/layout.js";
import { pipeline } from "../../src/passes/pass.js";
import { simplify } from "../../src/passes/simplify/index.js";
import { B, evaluate as sizeAt } from "../../src/program/size.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { numbers } from "../gpu/numbers.js";
import { bundleOf, runModule } from "../gpu/run-module.js";
import { sample, shared } from "../gpu/sample.js";

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

const HEADS = 2;

/** Self-attention on one qkv tensor [batch, token, three · head · width], its loss with a weight for each output, and the gradient of qkv. */
function selfAttention(tokens: number, width: number): Module {
  const b = new Builder();
  const qkv = b.param("qkv", "input", tensorType("f32", ["batch", "token", "qkv"], [B, tokens, 3 * HEADS * width]));
  const weight = b.param("weight", "input", tensorType("f32", ["batch", "token", "head", "width"], [B, tokens, HEADS, width]));
  const parts = split(b, qkv, { axis: "qkv", into: ["three", "head", "width"], sizes: [3, HEADS, width] });
  const turned = transpose(b, parts, { axes: ["three", "batch", "head", "token", "width"] });
  const part = (i: number) => drop(b, slice(b, turned, { axis: "three", from: i, to: i + 1 }), { axis: "three" });
  const keys = { axes: ["batch", "head", "key", "width"] };
  const o = attention(b, part(0), rename(b, part(1), keys), rename(b, part(2), keys), {
    over: ["width"],
    key: ["key"],
    scale: width ** -0.5,
  });
  const back = transpose(b, o, { axes: ["batch", "token", "head", "width"] });
  const loss = sum(b, mul(b, back, weight), { over: ["batch", "token", "head", "width"] });
  const [grad] = b.gradient(loss, [qkv]);
  return {
    stage: "graph",
    fns: [
      b.finish("main", [
        { name: "o", value: back },
        { name: "grad", value: grad! },
      ]),
    ],
  };
}

function inputs(module: Module, batch: number, size = 1): Map<string, { shape: number[]; data: Float64Array }> {
  return new Map(
    module.fns[0]!.params.map((p, i) => {
      const shape = p.value.type.shape.map((s) => sizeAt(s, batch));
      const count = shape.reduce((a, n) => a * n, 1);
      return [p.name, { shape, data: numbers(count, 5 + i).map((x) => Math.fround(x * size)) }];
    }),
  );
}

const compiled = (m: Module): Module =>
  pipeline([differentiate, simplify, dce, layout, fuse], m, { options: { differentiated: true } });

interface Kernels {
  readonly safe?: boolean;
  readonly variants?: boolean;
  readonly choices?: Readonly<Record<string, string>>;
}

async function compare(module: Module, batch: number, size: number, kernels: Kernels = {}): Promise<void> {
  const values = inputs(module, batch, size);
  const lowered = compiled(module);
  const expected = evaluate(lowered, "main", values, { batch, precision: "f64" });
  const got = await runModule(lowered, values, dawn, { batch, ...kernels });
  const again = await runModule(lowered, values, dawn, { batch, ...kernels });
  for (const [name, { data }] of expected) {
    const scale = data.reduce((m, x) => Math.max(m, Math.abs(x)), 1);
    const worst = data.reduce((m, e, k) => Math.max(m, Math.abs(e - got[name]![k]!)), 0);
    // Scores of size s carry s · 2⁻²³ each, which the exponential hands on.
    expect(worst / scale, name).toBeLessThan(4e-6 * Math.max(1, size * size));
    expect(again[name], `${name}, second run`).toEqual(got[name]);
  }
}

/** Numbers of tokens that no tile divides, and head widths, on which the text depends; the batch and how large q, k and v are. */
type Case = readonly [tokens: number, width: number, batch: number, size: number];
const shapes: readonly Case[] = [
  [77, 72, 2, 1],
  [50, 7, 2, 1],
  [17, 16, 2, 1],
  [50, 64, 2, 1],
  [258, 72, 1, 1],
  [9, 128, 1, 1],
  // So many that quads have sixteen rows each.
  [130, 20, 8, 1],
  // Wider than a subgroup of lanes with columns of their own can be, where quads still have four rows.
  [7, 258, 1, 1],
];
// Of the workgroups: less than a quarter of a block and just one row more than a block, two vectors a thread, padded vectors.
const blocks: readonly Case[] = [...shapes, [1, 32, 3, 1], [65, 64, 1, 1], [33, 18, 2, 1], [49, 80, 1, 1], [130, 96, 1, 1]];
// Scores of ±80 do not overflow.
const large: Case = [40, 16, 1, 9];
// So wide that there is no kernel of subgroups, and none of workgroups.
const wide: Case = [9, 322, 1, 1];

// These adapters have subgroups as wide as a CPU's vector; GPUs run the workgroups, which these adapters take long to compile.
describe.each([
  ["subgroups", {}, sample("subgroups", shapes, 2)],
  ["workgroups, eight rows a thread", { choices: { attention: "fused-8" } }, shared([...sample("fused-8", blocks, 1), large])],
  ["workgroups, four rows a thread", { choices: { attention: "fused-4" } }, shared([large, ...sample("fused-4", blocks, 1)])],
  ["chosen kernels", {}, shared([large, wide])],
  ["naive kernels", { safe: true }, [[50, 18, 2, 1]]],
] as const)("%s", (_, kernels, cases) => {
  test.each(cases)("%d tokens, head width %d, batch %d, numbers up to %d", (tokens, width, batch, size) =>
    compare(selfAttention(tokens, width), batch, size, kernels),
  );
});

test.each([
  [130, 20, 8, "quad-16"],
  [130, 128, 8, "quad-8"],
  [50, 64, 2, "quad-8"],
  [4, 16, 1, "quad-4"],
  [50, 258, 2, "quad-4"],
  [50, 322, 2, undefined],
])("subgroups of four: %d tokens, head width %d, batch %d by %s", (tokens, width, batch, name) => {
  const { kernels } = bundleOf(compiled(selfAttention(tokens, width)), { batch }).program;
  const forward = kernels.find((kernel) => /attention$/.test(kernel.name))!;
  expect(forward.variants.find(({ requires }) => requires.subgroupSize === 4)?.name.split(",")[0]).toBe(name);
});

test.each([1, 33, 80, 81, 100, 128, 160, 192])("heads of width %d have workgroups, whatever is asked for", (width) => {
  for (const attention of ["fused-8", "fused-4"]) {
    const { kernels } = bundleOf(compiled(selfAttention(9, width)), { choices: { attention } }).program;
    const variants = kernels.filter(({ name }) => name.includes("attention")).map((kernel) => kernel.variants[0]!.name);
    expect(variants).toEqual(Array(3).fill(expect.stringMatching(/^workgroup-/)));
  }
});

test("nothing of tokens × tokens is in memory", () => {
  const { storages } = bundleOf(compiled(selfAttention(500, 16)), { batch: 1 }).program;
  const largest = Math.max(...storages.map((s) => sizeAt(s.bytes, 1)));
  expect(largest).toBeLessThan(500 * 500 * 4);
});
