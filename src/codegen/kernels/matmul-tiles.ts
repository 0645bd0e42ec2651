/** The designs of matmul that need no feature of the device: register tiles, workgroup tiles, few rows. */
import { evaluate } from "../../program/size.js";
import { fnText, kernelText, LOOPED, type LoweredVariant } from "../kernel.js";
import { blocksOf } from "./matmul-blocks.js";
import { type MatmulPlan, storeHook } from "./matmul-plan.js";
import { squareText } from "./matmul-squares.js";

const count = (n: number): string => `${n}u`;

/** Every operand straight from storage, one number at a time: any shape, no barrier. */
export function registerTile(plan: MatmulPlan): LoweredVariant {
  const [tm, tn, wx, wy] = [4, 4, 8, 8];
  const { shape, region, words, sizes, riding } = plan;
  const squares = squareText(plan, { threads: wx * wy });
  const text = kernelText({
    title: `matmul, ${tm} × ${tn} results a thread, ${wx} × ${wy} threads`,
    bindings: region.bindings,
    words,
    consts: { TM: count(tm), TN: count(tn), WX: count(wx), WY: count(wy), ...riding.consts, ...squares.consts },
    sizes,
    hooks: [
      fnText("load_a(i: u32) -> f32", [`return b${shape.aBinding}[i];`]),
      fnText("load_b(i: u32) -> f32", [`return b${shape.bBinding}[i];`]),
      ...squares.hooks,
      storeHook(plan),
      riding.hooks,
    ].join("\n"),
    file: "./kernels/matmul-register.wgsl",
  });
  return { name: `register-${tm}x${tn}`, requires: {}, workgroupSize: wx * wy, tile: [tn * wx, tm * wy, 1, 1], text };
}

/** A design by tiles in workgroup memory. */
export interface Tile {
  /** Results of a thread: rows, a multiple of 4, and vec4 of columns. */
  readonly rows: number;
  readonly vectors: number;
  /** Threads of a slice: along N, along M. */
  readonly wx: number;
  readonly wy: number;
  /** How many times over the threads are there, each with its part of K. */
  readonly slices: number;
  /** Steps of K that are in memory at a time. */
  readonly depth: number;
}

/**
 * The larger first: less to read for each result, and fewer workgroups. Small ones come with K in parts, so that products of few results
 * are many threads, too.
 */
export const workgroupTiles: readonly Tile[] = [
  { rows: 8, vectors: 2, wx: 16, wy: 16, slices: 1, depth: 16 },
  { rows: 8, vectors: 1, wx: 16, wy: 8, slices: 1, depth: 16 },
  { rows: 8, vectors: 1, wx: 16, wy: 8, slices: 2, depth: 32 },
  { rows: 8, vectors: 1, wx: 8, wy: 8, slices: 4, depth: 32 },
  { rows: 8, vectors: 1, wx: 8, wy: 4, slices: 8, depth: 64 },
  { rows: 4, vectors: 1, wx: 4, wy: 8, slices: 8, depth: 64 },
];

/** Rows and columns of a workgroup's results. */
export const sidesOf = ({ rows, vectors, wx, wy }: Tile): readonly [bm: number, bn: number] => [rows * wy, 4 * vectors * wx];

export const threadsOf = ({ wx, wy, slices }: Tile): number => wx * wy * slices;

export function tileName(tile: Tile): string {
  const [bm, bn] = sidesOf(tile);
  return `workgroup-${bm}x${bn}${tile.slices === 1 ? "" : `-k${tile.slices}`}`;
}

/** Threads side by side along N, of the 32 of a GPU's subgroup. */
const LANES_X = 8;
const SUBGROUP = 32;

/** Tiles of A and B in workgroup memory, for GPUs: all of a step is in the text, and nothing is left to find. */
export const wholeTile = (plan: MatmulPlan, tile: Tile): LoweredVariant => ({
  ...workgroupTile(plan, tile, true),
  requires: { hardware: true },
});

/** And for every device, where a step is a loop: a driver that runs this on a CPU takes gigabytes and minutes to compile the former. */
export const workgroupVariants = (plan: MatmulPlan, tile: Tile): LoweredVariant[] => [
  wholeTile(plan, tile),
  workgroupTile(plan, tile, false),
];

function workgroupTile(plan: MatmulPlan, tile: Tile, whole: boolean): LoweredVariant {
  const { region, words, sizes, riding } = plan;
  const { rows, vectors, wx, wy, slices, depth } = tile;
  const [bm, bn] = sidesOf(tile);
  const threads = threadsOf(tile);
  // Of small tiles, whose time is not in their fetches, one text had better serve more products.
  const { vec4, hooks, aAlongK, bAlongK } = blocksOf(plan, "tiles", slices === 1 ? { m: bm, n: bn, k: depth } : undefined);
  // Vectors of a k of both tiles, as many as what half of the slices hand over in the end fits in, too; every device has 16 KiB.
  const wide = 2 ** Math.ceil(Math.log2((bm + bn) / 4));
  // The tiles are no longer read then, and are larger.
  const place = (i: string) => `tile[(${i}) / ${4 * wide}u][(${i}) / ${wide}u % 4u][(${i}) % ${wide}u].x`;
  const squares = squareText(plan, { threads, place });
  const text = kernelText({
    title: `matmul, workgroup tiles of ${bm} × ${bn}, ${rows} × ${4 * vectors} results a thread, K in ${slices} slices`,
    bindings: region.bindings,
    vec4,
    words,
    consts: {
      THREADS: count(threads),
      WX: count(wx),
      WY: count(wy),
      LANES_X: count(Math.min(LANES_X, wx)),
      LANES_Y: count(SUBGROUP / Math.min(LANES_X, wx)),
      SLICES: count(slices),
      BM: count(bm),
      BN: count(bn),
      BK: count(depth),
      DEPTH: count(depth / slices / 4),
      NV: count(vectors),
      ROWS_A: count(rows / 4),
      RESULTS: count(rows * vectors),
      QUADS: count(Math.min(8, bm / 4, bn / 4)),
      FOURS: count(depth / 4),
      A_ALONG_K: String(aAlongK),
      B_ALONG_K: String(bAlongK),
      TURNS: count(Math.min(8, wx, wy)),
      FETCHES: count(Math.ceil(((bm + bn) * depth) / 16 / threads)),
      WIDE: count(wide),
      ...(whole ? { WHOLE: "true" } : {}),
      ...riding.consts,
      ...squares.consts,
    },
    // All of K, unless the plan has a part of it.
    sizes: { K_FROM: "0u", K_TO: sizes.K!, ...sizes },
    hooks: [...squares.hooks, hooks, riding.hooks].join("\n"),
    file: "./kernels/matmul-workgroup.wgsl",
  });
  const name = whole ? tileName(tile) : `${tileName(tile)}${LOOPED}`;
  return { name, requires: {}, workgroupSize: threads, tile: [bn, bm, 1, 1], text };
}

/** Most rows that one workgroup of the few-row form makes. */
export const FEW_ROWS = 16;
/** Threads that share columns; each goes along K by four. */
const LANES = 16;
/** Least K for which every lane of the few-row form has something to do. */
export const FEW_ROWS_K = 4 * LANES;
const PARTS_BYTES = 8192;
/** Columns that would be fewer than 64 workgroups of eight groups. */
const FEW_COLUMNS_OF_GROUPS = 2048;

/** Few rows: as many a workgroup as there are at the compile batch, so that at this batch each number of B is read once. */
export function fewRows(plan: MatmulPlan): LoweredVariant {
  const { region, words, sizes, shape } = plan;
  const { vec4, hooks, bAlongK } = blocksOf(plan, "rows");
  const here = evaluate(shape.m.range, region.batch);
  const rows = [2, 4, 8].find((r) => r >= here) ?? FEW_ROWS;
  // Along K the lanes are side by side already. Else columns are: 128 bytes of a row of B, or 32 where columns are so few that there
  // would be hardly a workgroup, and then more threads along K.
  const narrow = !bAlongK && evaluate(shape.n.range, region.batch) < FEW_COLUMNS_OF_GROUPS;
  const groups = bAlongK ? 4 : narrow ? 2 : 8;
  const lanes = narrow ? 4 * LANES : LANES;
  const threads = lanes * groups;
  const text = kernelText({
    title: `matmul, ${rows} rows, ${lanes} threads along K for every 4 columns`,
    bindings: region.bindings,
    vec4,
    words,
    consts: {
      THREADS: count(threads),
      ROWS: count(rows),
      LANES: count(lanes),
      GROUPS: count(groups),
      PASS: count(Math.min(rows, PARTS_BYTES / (16 * threads))),
      B_ALONG_K: String(bAlongK),
    },
    sizes,
    hooks,
    file: "./kernels/matmul-few.wgsl",
  });
  return { name: `few-${rows}`, requires: {}, workgroupSize: threads, tile: [4 * groups, rows, 1, 1], text };
}
