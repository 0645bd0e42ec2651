/**
 * The subgroup form of matmul for what does not lie in fours: operands and results one number at a time, at any stride. A CPU's driver loads
 * the numbers of a vec4 one by one anyway, so what it costs beside the form of fours is a loop with four times as many steps.
 */
import { evaluate } from "../../program/size.js";
import { fnText, kernelText, type LoweredVariant } from "../kernel.js";
import { type MatmulPlan, storeHook } from "./matmul-plan.js";
import { quadOfNumbers } from "./matmul-quad.js";
import { squareText } from "./matmul-squares.js";

/** Widths of subgroups that are a CPU's vector, and the most rows whose sums suit its registers (see matmul-subgroup.ts). */
const MOST_ROWS: ReadonlyMap<number, number> = new Map([
  [8, 32],
  [16, 16],
]);
/** Columns of a lane. */
const COLUMNS = 4;

/** The variants for all widths, of which four lanes swap rows: there is no product that it does not suit. */
export const singleTiles = (plan: MatmulPlan): LoweredVariant[] => [
  quadOfNumbers(plan),
  ...[...MOST_ROWS].map(([s, most]) => singleTile(plan, s, Math.min(most, evaluate(plan.shape.m.range, plan.region.batch)))),
];

/** `rows`: how many there are to make, which become whole vectors. */
function singleTile(plan: MatmulPlan, s: number, rows: number): LoweredVariant {
  const { region, words, sizes, shape, riding } = plan;
  const tm = [4, 8, 16, 32].find((count) => count >= rows)!;
  const squares = squareText(plan, "subgroup");
  const text = kernelText({
    title: `matmul, subgroups of ${s}, numbers one by one: ${tm} × ${COLUMNS * s} results each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    words,
    consts: {
      S: `${s}u`,
      TM: `${tm}u`,
      COLUMNS: `${COLUMNS}u`,
      TN: `${COLUMNS * s}u`,
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
    tile: [COLUMNS * s, tm, 1, 1],
    text,
  };
}
