/** Which designs of the matmul the compiler takes by itself, by the size of a product and by device: text alone, nothing runs. */
import { expect, test } from "vitest";
import { Builder } from "../../src/ir/builder.js";
import type { Module } from "../../src/ir/graph.js";
import { dot } from "../../src/ir/ops/contract.js";
import { tensorType } from "../../src/ir/types.js";
import { fuse } from "../../src/passes/fuse/index.js";
import { type Kernel, MATRICES, webLimits } from "../../src/program/program.js";
import { type DeviceFacts, selectVariant } from "../../src/runtime/device.js";
import { inHalves } from "../gpu/matmul-cases.js";
import { bundleOf } from "../gpu/run-module.js";

const facts = (subgroupSize: number, hardware: boolean): DeviceFacts => ({
  ...{ features: new Set(["subgroups"]), limits: { ...webLimits }, subgroupSize, hardware },
});
const gpu = facts(32, true);
const units: DeviceFacts = {
  ...gpu,
  features: new Set(["subgroups", "shader-f16", MATRICES]),
  matrices: new Set(["matrices of 16 × 16 × 16, f16 to f32"]),
};

function taken(module: Module, device: DeviceFacts, batch = 1): string {
  const { program } = bundleOf(module, { batch });
  const kernel: Kernel = program.kernels.find(({ family }) => family === "matmul")!;
  return selectVariant(kernel, program, device).variant.name;
}

/** x · Wᵀ of rows × columns × terms. */
function product(rows: number, columns: number, terms: number): Module {
  const b = new Builder();
  const x = b.param("x", "input", tensorType("f32", ["row", "in"], [rows, terms]));
  const w = b.param("w", "input", tensorType("f32", ["column", "in"], [columns, terms]));
  return fuse.run({ stage: "graph", fns: [b.finish("main", [{ name: "y", value: dot(b, x, w, { over: ["in"] }) }])] }, {});
}

test.each([
  [4096, 4608, "workgroup-128x128"],
  [4096, 1152, "workgroup-64x64"],
  [1024, 1024, "workgroup-64x64-k2"],
  [1024, 256, "workgroup-32x32-k8"],
  [128, 384, "workgroup-32x16-k8"],
  [2, 1152, "few-2"],
] as const)("on a GPU: %d × %d results by %s", (rows, columns, name) => {
  for (const size of [8, 16, 32]) expect(taken(product(rows, columns, 384), facts(size, true))).toBe(name);
});

test("a GPU has all of a step in the text where any other device that is given the design has a loop", () => {
  const { program, wgsl } = bundleOf(product(256, 256, 384), { choices: { matmul: "workgroup-64x64" } });
  const takenBy = (device: DeviceFacts) => selectVariant(program.kernels[0]!, program, device).variant;
  const [whole, looped] = [takenBy(gpu), takenBy(facts(8, false))];
  expect([whole.name, looped.name]).toEqual(["workgroup-64x64", "workgroup-64x64-looped"]);
  const steps = /for \(var d = 0u; d < DEPTH; d\+\+\)/;
  expect(wgsl[whole.file]).not.toMatch(steps);
  expect(wgsl[looped.file]).toMatch(steps);
});

test.each([
  [2048, 2048, "quad-32x32"],
  [64, 128, "quad-16x16"],
  [16, 4096, "quad-16x16"],
] as const)("on a CPU's subgroups of four: %d × %d results by %s", (rows, columns, name) => {
  expect(taken(product(rows, columns, 384), facts(4, false))).toBe(name);
});

test("on a CPU's subgroups, numbers by fours or one by one", () => {
  expect(taken(product(128, 384, 384), facts(8, false))).toBe("subgroup-8");
  for (const width of [4, 8, 16]) expect(taken(product(127, 383, 381), facts(width, false))).toBe(`subgroup-single-${width}`);
});

test("on a CPU's subgroups, a short K by panels where there are rows for them", () => {
  for (const width of [8, 16]) {
    expect(taken(product(512, 384, 16), facts(width, false))).toBe(`subgroup-panel-${width}`);
    expect(taken(product(512, 384, 32), facts(width, false))).toBe(`subgroup-panel-${width}`);
    expect(taken(product(512, 384, 36), facts(width, false))).toBe(`subgroup-${width}`);
    expect(taken(product(128, 384, 32), facts(width, false))).toBe(`subgroup-${width}`);
    expect(taken(product(512, 384, 16), facts(width, true))).not.toMatch(/^subgroup/);
  }
});

/** The sides of the tile that a CPU's subgroups of this size take of dyᵀ · x. */
function tileOf(rows: number, columns: number, terms: number, size: number): readonly number[] {
  const b = new Builder();
  const dy = b.param("dy", "input", tensorType("f32", ["row", "out"], [terms, rows]));
  const x = b.param("x", "input", tensorType("f32", ["row", "in"], [terms, columns]));
  const module = fuse.run(
    { stage: "graph", fns: [b.finish("main", [{ name: "dw", value: dot(b, dy, x, { over: ["row"] }) }])] },
    {},
  );
  const { program } = bundleOf(module, { batch: 1 });
  return selectVariant(program.kernels[0]!, program, facts(size, false)).variant.tile.slice(0, 2);
}

test("where a gradient has few columns, each quad of a CPU's vector has all of them", () => {
  expect(tileOf(384, 16, 512, 8)).toEqual([16, 32]);
  expect(tileOf(384, 16, 512, 16)).toEqual([16, 16]);
  for (const size of [8, 16]) {
    expect(tileOf(384, 20, 512, size)).toEqual([4 * size, 32]);
    // Quads that divide K have as many k each.
    expect(tileOf(384, 16, 514, size)).toEqual([4 * size, 32]);
  }
});

test("on a CPU's vector, as many columns as a core holds the code of a step for", () => {
  for (const size of [8, 16]) expect(tileOf(384, 68, 512, size)).toEqual([64, 32]);
  // Few rows, and steps of one k, take one block of columns.
  expect(tileOf(16, 68, 512, 8)).toEqual([32, 16]);
  expect(tileOf(384, 68, 513, 8)).toEqual([32, 32]);
  // Numbers one by one: the larger tile where it repays its compiling.
  for (const size of [8, 16]) {
    expect(tileOf(191, 383, 63, size)).toEqual([64, 64]);
    expect(tileOf(191, 383, 31, size)).toEqual([64, 32]);
    expect(tileOf(191, 31, 31, size)).toEqual([32, 32]);
  }
});

test("on a CPU's subgroups of four, the larger tile for fewer tiles of a gradient that is long", () => {
  expect(tileOf(32, 256, 1024, 4)).toEqual([32, 32]);
  expect(tileOf(32, 256, 512, 4)).toEqual([16, 16]);
  expect(taken(product(32, 256, 1024), facts(4, false))).toBe("quad-16x16");
});

test("on a CPU's subgroups of four, numbers one by one in the larger tile only where it repays its compiling", () => {
  expect(tileOf(63, 191, 383, 4)).toEqual([32, 32]);
  expect(tileOf(1001, 384, 8, 4)).toEqual([16, 16]);
});

test.each([
  [8, 512, 3328, "matrix-128x128", "matrix-64x64"],
  [4, 256, 640, "matrix-64x64", "matrix-64x64"],
  [2, 256, 256, "workgroup-32x16-k8", "workgroup-32x16-k8"],
] as const)("on matrix units, operands in f16: %d × %d × %d results by %s", (batch, rows, columns, name, inLittleMemory) => {
  const module = inHalves(["nt", "plain", [batch, rows, columns, 64]]);
  const much = { ...units, limits: { ...webLimits, maxComputeWorkgroupStorageSize: 32768 } };
  expect(taken(module, much, batch)).toBe(name);
  expect(taken(module, units, batch)).toBe(inLittleMemory);
  expect(taken(module, gpu, batch)).not.toMatch(/^matrix/);
});
