/**
 * No invocation of a workgroup reads what another may not have written yet: every kernel that uses workgroup memory runs in an interpreter
 * that knows barriers (races.ts). A software adapter runs a workgroup in an order of its own and hides such a mistake; a real GPU does not.
 */
import { describe, expect, test } from "vitest";
import { matmulChoices } from "../../src/codegen/kernels/matmul.js";
import { sidesOf, tileName, workgroupTiles } from "../../src/codegen/kernels/matmul-tiles.js";
import { compile } from "../../src/compile/compile.js";
import { Builder } from "../../src/ir/builder.js";
import type { Module } from "../../src/ir/graph.js";
import { dot } from "../../src/ir/ops/contract.js";
import { sum } from "../../src/ir/ops/shape.js";
import { tensorType } from "../../src/ir/types.js";
import { fuse } from "../../src/passes/fuse/index.js";
import { fold, uniformWords } from "../../src/program/grid.js";
import type { Bundle, Dispatch, Kernel, Variant } from "../../src/program/program.js";
import { B, evaluate, mul, type Size } from "../../src/program/size.js";
import { type Case, inHalves } from "../gpu/matmul-cases.js";
import { withoutMatrixUnits } from "../gpu/matrix-units.js";
import { bundleOf } from "../gpu/run-module.js";
import { sample } from "../gpu/sample.js";
import { squared } from "../gpu/squared.js";
import { racesIn } from "./races.js";

const batch = 1;

interface Shared {
  readonly kernel: Kernel;
  readonly variant: Variant;
  readonly text: string;
  /** Its dispatch over the least memory: the interpreter is slow, and the barriers are the same. */
  readonly dispatch: Dispatch;
}

function kernelsWithSharedMemory({ program, wgsl }: Bundle, subgroups = false): Shared[] {
  const bytes = (d: Dispatch) => d.bindings.reduce((sum, id) => sum + evaluate(program.storages[id]!.bytes, batch), 0);
  const dispatches = program.entries.flatMap((entry) => entry.segments.flatMap((segment) => segment.dispatches));
  return program.kernels.flatMap((kernel, id) =>
    kernel.variants.flatMap((variant) => {
      const text = wgsl[variant.file]!;
      // The interpreter knows no subgroups.
      if (!text.includes("var<workgroup>") || (!subgroups && text.includes("enable subgroups"))) return [];
      const mine = dispatches.filter((d) => d.kernel === id).sort((a, b) => bytes(a) - bytes(b));
      return [{ kernel, variant, text, dispatch: mine[0]! }];
    }),
  );
}

/** Races and divergent barriers in the first workgroup. */
function problems({ program }: Bundle, { kernel, dispatch }: Shared, text: string): string[] {
  const uniform = uniformWords(dispatch, kernel, fold(1), batch);
  const storages = dispatch.bindings.map((id) => {
    const { bytes, dtype } = program.storages[id]!;
    // Texts that the interpreter can read have f32 for f16.
    return new Float32Array(evaluate(bytes, batch) / (dtype === "f16" ? 2 : 4)).fill(1);
  });
  return racesIn(text, [...storages, { uniform }]);
}

// Small, because the interpreter is slow: the kernels are the same at any size.
describe.each([
  ["models/dit.graph.ts", "tiny", ["depth=1", "inputSize=6", "hiddenSize=32", "numHeads=2"]],
  ["models/mlp.graph.ts", "tiny", []],
  ["models/vit.graph.ts", "tiny", ["depth=1"]],
] as const)("%s, %s", (file, preset, set) => {
  test("kernels with workgroup memory have their barriers", async () => {
    const { bundle } = await compile(file, { preset, set, batch });
    const kernels = kernelsWithSharedMemory(bundle);
    expect(kernels.length).toBeGreaterThan(0);
    for (const kernel of kernels) expect(problems(bundle, kernel, kernel.text), kernel.variant.file).toEqual([]);
    // One kernel of each family without its barriers is seen to race: the interpreter does look.
    const families = new Map(kernels.map((kernel) => [kernel.kernel.name.replace(/^\d+-/, ""), kernel]));
    for (const kernel of families.values()) {
      const bare = kernel.text.replaceAll("workgroupBarrier();", "");
      expect(problems(bundle, kernel, bare).join(), kernel.variant.file).toContain("Data race");
    }
    console.log(`${file} ${preset}: ${kernels.length} kernels without a race, of ${[...families.keys()].join(", ")}`);
  });
});

/** dyᵀ · x and the sum of dy, or of the squares of the result, or x · Wᵀ, with more of K than a step of a tile takes; K grows with the batch. */
function product(form: "nt" | "tn" | "squares", [m, n, k]: readonly [number, number, number]): Module {
  const b = new Builder();
  const input = (name: string, axes: string, ...shape: Size[]) =>
    b.param(name, "input", tensorType("f32", axes.split(" "), shape));
  const terms = mul(B, k);
  const left = form === "nt" ? input("a", "m k", m, terms) : input("a", "k m", terms, m);
  const right = form === "nt" ? input("b", "n k", n, terms) : input("b", "k n", terms, n);
  const results = [{ name: "y", value: dot(b, left, right, { over: ["k"] }) }];
  if (form === "tn") results.push({ name: "sum", value: sum(b, left, { over: ["k"] }) });
  const module = fuse.run({ stage: "graph", fns: [b.finish("main", results)] }, {});
  return form === "squares" ? squared(module) : module;
}

const products = [
  ["nt", [3, 8, 36]],
  ["nt", [3, 7, 35]],
  ["tn", [8, 8, 20]],
  ["tn", [5, 7, 19]],
  ["squares", [5, 7, 19]],
] as const;

// Tiles in workgroup memory are one file, of many invocations: one product of each.
const isTile = (name: string): boolean => /^(workgroup|split)-/.test(name);

/** A place at the end of a tile may be past the end of the product. */
const CHECKED = /\bmin\([mn]( \+ \du)?, u\[|, k < u\[/;

describe.each(matmulChoices.filter(({ needs }) => !needs).map(({ name }) => name))("matmul, %s", (choice) => {
  test.each(sample(`races ${choice}`, products, isTile(choice) ? 1 : 2))("%s of %j", (form, sizes) => {
    // At the compile batch K is long enough to be divided; at this one the first part is all of it, and a step or two.
    const options = choice.startsWith("split") ? { batch: 64 } : {};
    const bundle = bundleOf(product(form, sizes), { ...options, choices: { matmul: choice } });
    const kernels = kernelsWithSharedMemory(bundle).filter(({ variant }) => variant.name.split("-")[0] === choice.split("-")[0]);
    // The interpreter cannot read the register tiles; they have memory for sums of squares alone, added up as the workgroup tiles do it.
    if (choice.startsWith("register") && form === "squares") return;
    // Few rows carry no sums, a K that is divided no squares, and the other designs have no workgroup memory.
    const has = choice.startsWith("split") ? form !== "squares" : isTile(choice) || (choice === "few-rows" && form === "nt");
    // Tiles have a text for GPUs and one whose step is a loop.
    expect(kernels).toHaveLength(has ? (isTile(choice) ? 2 : 1) : 0);
    for (const kernel of kernels) {
      if (isTile(choice)) expect(kernel.text).toMatch(CHECKED);
      expect(problems(bundle, kernel, kernel.text)).toEqual([]);
      expect(problems(bundle, kernel, kernel.text.replaceAll("workgroupBarrier();", "")).join()).toContain("Data race");
    }
  });
});

// Where the tiles that do not divide K end with the product no place is checked: texts of their own. Two steps of K.
const ending = workgroupTiles.filter(({ slices }) => slices === 1);
describe.each(ending.map((tile) => [tileName(tile), tile] as const))("matmul, %s", (choice, tile) => {
  test.each(sample(`races, whole ${choice}`, ["tn", "squares"] as const, 1))("%s of whole tiles", (form) => {
    const bundle = bundleOf(product(form, [...sidesOf(tile), 2 * tile.depth]), { choices: { matmul: choice } });
    const kernels = kernelsWithSharedMemory(bundle).filter(({ variant }) => variant.name.startsWith("workgroup-"));
    expect(kernels).toHaveLength(2);
    for (const kernel of kernels) {
      expect(kernel.text).not.toMatch(CHECKED);
      expect(problems(bundle, kernel, kernel.text)).toEqual([]);
      expect(problems(bundle, kernel, kernel.text.replaceAll("workgroupBarrier();", "")).join()).toContain("Data race");
    }
  });
});

/** Everything of f16 as f32, and what stands in for matrix units: the interpreter knows neither. */
const inFull = (text: string): string =>
  withoutMatrixUnits(text, { touched: true })
    .replace("enable f16;\n", "")
    .replaceAll(/\b(f16|vec4h|mat4x4h)\b/g, (type) => ({ f16: "f32", vec4h: "vec4f", mat4x4h: "mat4x4f" })[type]!);

// All are one text; those of the fewest invocations are enough for an interpreter.
const units = ["matrix-64x64", "matrix-32x32-k4"];
const onUnits: readonly Case[] = [
  ["nt", "plain", [1, 4, 8, 36]],
  ["tn", "sum of left", [1, 6, 10, 22]],
];

describe.each(units)("matmul, %s", (choice) => {
  test.each(sample(`races ${choice}`, onUnits, 1))("%s, %s, of %j", (...given) => {
    const bundle = bundleOf(inHalves(given), { choices: { matmul: choice } });
    const [kernel, ...more] = kernelsWithSharedMemory(bundle, true).filter(({ variant }) => variant.requires.matrix);
    expect(more).toEqual([]);
    const text = inFull(kernel!.text);
    expect(problems(bundle, kernel!, text)).toEqual([]);
    // Barriers before a tile is read, before it is written again, between results and who stores them: none can be spared.
    expect(problems(bundle, kernel!, text.replaceAll("workgroupBarrier();", "")).join()).toContain("Data race");
  });
});
