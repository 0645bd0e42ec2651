/**
 * The sum of squares of a product, stored beside it in parts: each thread adds the squares of what it stores, a workgroup the sums of its
 * threads, in fixed order, and each workgroup has a part of its own. Asked for where the gradients of a model are more than the kernel
 * that goes through them can bind (codegen/riding-squares.ts).
 */
import { Words } from "../emitter.js";
import { fnText, type SquaresBeside } from "../kernel.js";
import type { Region } from "../region.js";
import { type MatmulPlan, matmulShape } from "./matmul-plan.js";

/** No design of those that can do this makes fewer rows or columns a workgroup, but where there are no more. */
const LEAST_SIDE = 16;

/**
 * What a product can do: in parts that are enough for whichever design is taken, so that the choice of one changes no storage. Undefined
 * for what is no product, is not stored as it is, or has a size that goes by the batch.
 */
export function squaresBeside(region: Region): SquaresBeside | undefined {
  const shape = matmulShape(region);
  const finish = shape?.fold.finish(new Words());
  if (!shape || !finish?.plain) return undefined;
  const sizes = [shape.m, shape.n, ...shape.batch].map((l) => l.range);
  if (!sizes.every((size) => typeof size === "number")) return undefined;
  const [rows, columns, ...batches] = sizes;
  const parts = batches.reduce((a, b) => a * b, Math.ceil(rows! / LEAST_SIDE) * Math.ceil(columns! / LEAST_SIDE));
  return { of: region.results.indexOf(finish.bindings[0]!), parts };
}

/** What a design puts into its text, nothing where no squares are asked for. */
export interface SquareText {
  readonly consts: Readonly<Record<string, string>>;
  readonly hooks: readonly string[];
}

/** Where the threads of a workgroup put their sums: in memory that the design has, or in an array of its own. */
interface Shared {
  readonly threads: number;
  /** A number there; each of so many threads has one. */
  readonly place?: (thread: string) => string;
}

/**
 * `keep_squares(group, groups, lane)`: every thread of workgroup `group`, of so many, calls it when all results are stored. `subgroup`: the
 * workgroup is one subgroup.
 */
export function squareText({ squares }: MatmulPlan, how: Shared | "subgroup"): SquareText {
  if (!squares) return { consts: {}, hooks: [] };
  const keep = fnText("keep_squares(group: u32, groups: u32, lane: u32)", [
    ...(how === "subgroup" ? ["let sum = subgroupAdd(square_sum);"] : addedInMemory(how)),
    "if (lane == 0u) {",
    // A design with smaller tiles is more workgroups: what they would fill is zero.
    `  for (var part = group; part < ${squares.parts}; part += groups) {`,
    `    b${squares.binding}[part] = select(0.0, sum, part == group);`,
    "  }",
    "}",
  ]);
  const own = how === "subgroup" || how.place ? [] : [`var<workgroup> square_sums: array<f32, ${how.threads}>;\n`];
  return { consts: { SQUARES: "true" }, hooks: ["var<private> square_sum: f32;\n", ...own, keep] };
}

function addedInMemory({ threads, place: at = (thread) => `square_sums[${thread}]` }: Shared): string[] {
  return [
    // Others may still read what the memory held.
    "workgroupBarrier();",
    `${at("lane")} = square_sum;`,
    `for (var half = ${threads / 2}u; half > 0u; half /= 2u) {`,
    "  workgroupBarrier();",
    "  if (lane < half) {",
    `    ${at("lane")} += ${at("lane + half")};`,
    "  }",
    "}",
    // What the first thread has here it has written itself.
    `let sum = ${at("lane")};`,
  ];
}
