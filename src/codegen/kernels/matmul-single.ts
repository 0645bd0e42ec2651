/**
 * The subgroup form of matmul for what does not lie in fours: operands and results one number at a time, at any stride. A CPU's driver loads
 * the numbers of a vec4 one by one anyway, so what it costs beside the form of fours is a loop with twice as many steps.
 */
import { fnText, kernelText, type LoweredVariant } from "../kernel.js";
import { countsOf, type MatmulPlan, storeHook } from "./matmul-plan.js";
import { ENOUGH_WORK_OF_NUMBERS, quadOfNumbers } from "./matmul-quad.js";
import { squareText } from "./matmul-squares.js";

/** Widths of subgroups that are a CPU's vector. */
const WIDTHS = [8, 16] as const;

/**
 * Columns and rows of a tile at most: as many as the code for one k fits in a core's first cache for (matmul-subgroup.wgsl). Lavapipe takes three
 * times as long to compile 64 rows as 32, so they are for products of some work.
 */
const MOST = 64;
const LESS = 32;

/** The variants for all widths, of which four lanes swap rows: there is no product that it does not suit. */
export const singleTiles = (plan: MatmulPlan): LoweredVariant[] => [
  quadOfNumbers(plan),
  ...WIDTHS.map((width) => singleTile(plan, width)),
];

function singleTile(plan: MatmulPlan, s: number): LoweredVariant {
  const { region, words, sizes, shape, riding } = plan;
  const { rows, columns: all, work } = countsOf(plan);
  // What there is to make becomes whole vectors.
  const most = work >= ENOUGH_WORK_OF_NUMBERS ? MOST : LESS;
  const tm = [4, 8, 16, LESS, MOST].find((count) => count >= Math.min(rows, most))!;
  const columns = (all > LESS ? MOST : LESS) / s;
  const squares = squareText(plan, "subgroup");
  const text = kernelText({
    title: `matmul, subgroups of ${s}, numbers one by one: ${tm} × ${columns * s} results each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    words,
    consts: {
      S: `${s}u`,
      TM: `${tm}u`,
      COLUMNS: `${columns}u`,
      TN: `${columns * s}u`,
      A_LOADS: `${Math.ceil(tm / s)}u`,
      ...(riding.consts.SUM_A === "true" ? { SUMS_OF_A: "true" } : {}),
      ...(riding.consts.SUM_B === "true" ? { SUMS_OF_B: "true" } : {}),
      ...squares.consts,
    },
    sizes,
    hooks: [
      fnText("number_a(i: u32) -> f32", [`return b${shape.aBinding}[i];`]),
      fnText("number_b(i: u32) -> f32", [`return b${shape.bBinding}[i];`]),
      ...squares.hooks,
      storeHook(plan),
      riding.hooks,
    ].join("\n"),
    file: "./kernels/matmul-single.wgsl",
    libraries: ["./kernels/matmul-bands.wgsl"],
  });
  return {
    name: `subgroup-single-${s}`,
    requires: { features: ["subgroups"], subgroupSize: s },
    workgroupSize: s,
    tile: [columns * s, tm, 1, 1],
    text,
  };
}
