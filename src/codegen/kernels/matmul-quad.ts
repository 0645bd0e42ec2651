/**
 * The form of matmul for subgroups of four on a CPU, whose lanes swap rows inside the quad. SwiftShader is the one that has them: a vector of four
 * f32, loads and stores one number after the other, and a broadcast that costs eight instructions where a swap costs one.
 */
import { evaluate, product, type Size } from "../../program/size.js";
import { isMultiple } from "../fours.js";
import { fnText, kernelText, type LoweredVariant } from "../kernel.js";
import type { MatmulPlan } from "./matmul-plan.js";
import { squareText } from "./matmul-squares.js";
import { foursOf } from "./matmul-subgroup.js";

export interface QuadTile {
  /** Rows at most; fewer where the product has fewer at the compile batch. */
  readonly rows: 16 | 32;
  /** Blocks of 16 columns. */
  readonly blocks: 1 | 2;
  /** Fours of k in a step: what is summed is kept from step to step by its lanes' mask, which costs as much as three multiply-adds. */
  readonly parts: 1 | 2;
}

/**
 * The larger does more for each number that it loads, and SwiftShader takes eight times as long to compile it: its loop over K is five times the
 * smaller one's 35 KB, of which a core's first cache holds most.
 */
export const quadTiles: readonly QuadTile[] = [
  { rows: 16, blocks: 1, parts: 1 },
  { rows: 32, blocks: 2, parts: 2 },
];

export const quadName = ({ rows, blocks }: QuadTile): string => `quad-${rows}x${16 * blocks}`;

/** Tiles that keep the cores of a CPU at work to the end. */
const ENOUGH_TILES = 32;

/** The tile that suits a product, by its size at the compile batch. */
export function quadFor({ shape, region }: MatmulPlan): QuadTile {
  const at = (size: Size): number => evaluate(size, region.batch);
  const [rows, columns] = [at(shape.m.range), at(shape.n.range)];
  const tiles = (side: number): number =>
    at(product(shape.batch.map((l) => l.range))) * Math.ceil(rows / side) * Math.ceil(columns / side);
  const [small, large] = quadTiles as readonly [QuadTile, QuadTile];
  return rows > small.rows && tiles(large.rows) >= ENOUGH_TILES ? large : small;
}

/** The variant, none when the operands' order does not suit the form. */
export function quadVariants(plan: MatmulPlan, tile: QuadTile): LoweredVariant[] {
  const fours = foursOf(plan);
  if (!fours) return [];
  const { region, words, sizes, finish, riding, shape } = plan;
  const { aBinding, bBinding } = shape;
  const { aAlongK, bAlongK, store } = fours;
  const { rows, blocks, parts } = tile;
  // A lane owns every fourth row, or four of sixteen side by side.
  const most = Math.min(rows, evaluate(shape.m.range, region.batch));
  const tm = [4, 8, 16, 32].find((count) => count >= most && (aAlongK || count >= 16))!;
  const squares = squareText(plan, "subgroup");
  const lines = [
    aAlongK ? "A_K_BY_K" : "A_M_BY_M",
    bAlongK ? "B_K_BY_K" : "B_N_BY_N",
    ...(parts === 2 ? ["EIGHT"] : []),
    ...(isMultiple(shape.k.range, 4 * parts) ? [] : ["K_ENDS"]),
  ];
  const text = kernelText({
    title: `matmul, subgroups of 4 that swap rows: ${tm} × ${16 * blocks} results each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    vec4: [aBinding, bBinding, ...finish.bindings, ...store.vec4],
    words,
    consts: {
      TM: `${tm}u`,
      OWN: `${tm / 4}u`,
      NV: `${blocks}u`,
      COLUMNS: `${4 * blocks}u`,
      PARTS: `${parts}u`,
      ...Object.fromEntries(lines.map((name) => [name, "true"])),
      A_ALONG_K: String(aAlongK),
      B_ALONG_K: String(bAlongK),
      SUM_A: riding.consts.SUM_A!,
      ...squares.consts,
    },
    sizes,
    hooks: [
      fnText("load_a(four: u32) -> vec4f", [`return b${aBinding}[four];`]),
      fnText("load_b(four: u32) -> vec4f", [`return b${bBinding}[four];`]),
      ...squares.hooks,
      store.hook,
      riding.hooks,
    ].join("\n"),
    file: "./kernels/matmul-quad.wgsl",
  });
  return [
    {
      name: quadName(tile),
      requires: { features: ["subgroups"], subgroupSize: 4 },
      workgroupSize: 4,
      tile: [16 * blocks, tm, 1, 1],
      text,
    },
  ];
}
