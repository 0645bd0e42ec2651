/**
 * The designs of matmul for matrix units, which WGSL calls subgroup matrices: Dawn has them as an experiment, browsers behind a flag. They
 * multiply f16 and add in f32, so they apply where both operands lie in memory as f16 (`--dtype f16`): then no number is rounded that any
 * other design would not have rounded. Which are taken by themselves, and from which size on: ENOUGH_MATRICES in matmul.ts.
 */
import { MATRICES, type MatrixShape } from "../../program/program.js";
import { kernelText, type LoweredVariant } from "../kernel.js";
import { blocksOf } from "./matmul-blocks.js";
import type { MatmulPlan } from "./matmul-plan.js";

export interface MatrixTile {
  /** Subgroups along M and N, and matrices of each. */
  readonly subgroups: readonly [m: number, n: number];
  readonly matrices: readonly [m: number, n: number];
  /** How many times over the subgroups are there, each with its part of K. */
  readonly slices: number;
  /** Steps of K that are in memory at a time. */
  readonly depth: number;
}

/** The larger first, as with the tiles that need no matrix units. */
export const matrixTiles: readonly MatrixTile[] = [
  { subgroups: [2, 4], matrices: [4, 2], slices: 1, depth: 32 },
  { subgroups: [2, 2], matrices: [2, 2], slices: 1, depth: 32 },
  { subgroups: [2, 2], matrices: [2, 2], slices: 2, depth: 64 },
  { subgroups: [1, 1], matrices: [2, 2], slices: 4, depth: 64 },
  { subgroups: [1, 1], matrices: [2, 2], slices: 8, depth: 128 },
];

/** The matrices that are multiplied; every device known to add f16 in f32 offers this shape. A variant is made for each in the list. */
const shapes: readonly MatrixShape[] = [{ component: "f16", result: "f32", m: 16, n: 16, k: 16 }];
/** Lanes of a subgroup where its width is fixed; Dawn wants workgroups of whole subgroups of the largest width. */
const LANES = 32;
/** What every device has of workgroup memory. */
const MEMORY = 16384;
/** Numbers of f16 behind each k of a tile: 16 bytes, to which matrices must be aligned. */
const PAD = 8;

/** Rows and columns of a workgroup's results. */
function sidesOf({ subgroups, matrices }: MatrixTile, { m, n }: MatrixShape): readonly [bm: number, bn: number] {
  return [subgroups[0] * matrices[0] * m, subgroups[1] * matrices[1] * n];
}

/** Rows and columns of a workgroup's results. */
export const matrixSides = (tile: MatrixTile): readonly [bm: number, bn: number] => sidesOf(tile, shapes[0]!);

export function matrixName(tile: MatrixTile): string {
  const [bm, bn] = matrixSides(tile);
  return `matrix-${bm}x${bn}${tile.slices === 1 ? "" : `-k${tile.slices}`}`;
}

/** The variants; none where an operand is not stored in f16, or squares are asked for, for which the text has no place yet. */
export function matrixVariants(plan: MatmulPlan, tile: MatrixTile): LoweredVariant[] {
  const { aBinding, bBinding } = plan.shape;
  const { bindings } = plan.region;
  if (plan.squares || ![aBinding, bBinding].every((i) => bindings[i]!.dtype === "f16" && !bindings[i]!.packed)) return [];
  return shapes.map((shape) => matrixVariant(plan, tile, shape));
}

function matrixVariant(plan: MatmulPlan, tile: MatrixTile, shape: MatrixShape): LoweredVariant {
  const { region, words, sizes, riding } = plan;
  const { subgroups, matrices, slices, depth } = tile;
  const [bm, bn] = sidesOf(tile, shape);
  const count = subgroups[0] * subgroups[1] * slices;
  const threads = LANES * count;
  const { vec4, hooks } = blocksOf(plan, "tiles", { m: bm, n: bn, k: depth });
  const numbers = {
    THREADS: threads,
    SM: subgroups[0],
    SN: subgroups[1],
    FM: matrices[0],
    FN: matrices[1],
    TM: shape.m,
    TN: shape.n,
    TK: shape.k,
    SLICES: slices,
    BM: bm,
    BN: bn,
    BK: depth,
    PAD,
    FETCHES: Math.ceil(((bm + bn) * depth) / 16 / threads),
  };
  const text = kernelText({
    title: `matmul, matrix units of ${shape.m} × ${shape.n} × ${shape.k}, tiles of ${bm} × ${bn}, K in ${slices} slices`,
    enables: ["enable subgroups;", "enable chromium_experimental_subgroup_matrix;"],
    bindings: region.bindings,
    vec4,
    words,
    consts: { ...Object.fromEntries(Object.entries(numbers).map(([name, n]) => [name, `${n}u`])), ...riding.consts },
    sizes,
    hooks: `${hooks}\n${riding.hooks}`,
    file: "./kernels/matmul-matrix.wgsl",
  });
  const memory = 2 * depth * (bm + bn + 2 * PAD) + 4 * count * shape.m * shape.n;
  return {
    name: matrixName(tile),
    requires: {
      features: ["shader-f16", "subgroups", MATRICES],
      subgroupSize: LANES,
      matrix: shape,
      ...(memory > MEMORY ? { limits: { maxComputeWorkgroupStorageSize: memory } } : {}),
    },
    workgroupSize: threads,
    tile: [bn, bm, 1, 1],
    text,
  };
}
