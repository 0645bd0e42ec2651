/**
 * Stand-ins for matrix units, which no adapter here has: the kernels' own text, but for the three built-in functions and the types of the
 * matrices, which become plain WGSL. A matrix of an operand is the place in workgroup memory that it is read from, a matrix of results has
 * every 32nd number in each of 32 lanes. (Loops end at a number that a driver does not know, u[0].w being zero: unrolled they take lavapipe
 * half a minute to compile.) So what is tested is everything else: places, steps, edges, what follows the product, barriers.
 */
import { expect } from "vitest";
import type { Bundle } from "../../src/program/program.js";

const LANES = "32u";

const standIns = `
struct Left {
  at: u32,
  stride: u32,
}
struct Right {
  at: u32,
  stride: u32,
}
alias Result = array<f32, TM * TN / ${LANES}>;

fn multiply_accumulate(lane: u32, left: Left, right: Right, before: Result) -> Result {
  var sum = before;
  for (var i = 0u; i < TM * TN / ${LANES} + u[0].w; i++) {
    let at = i * ${LANES} + lane;
    for (var k = 0u; k < TK + u[0].w; k++) {
      sum[i] += f32(tile_a[left.at + k * left.stride + at / TN]) * f32(tile_b[right.at + k * right.stride + at % TN]);
    }
  }
  return sum;
}

fn store_matrix(lane: u32, first: u32, matrix: Result, stride: u32) {
  for (var i = 0u; i < TM * TN / ${LANES} + u[0].w; i++) {
    let at = i * ${LANES} + lane;
    results[first + at / TN * stride + at % TN] = matrix[i];
  }
}
`;

/** What is written in place of what; each stands in every text. */
const changes: readonly (readonly [string, string])[] = [
  ["enable subgroups;\nenable chromium_experimental_subgroup_matrix;\n", ""],
  [
    "alias Left = subgroup_matrix_left<f16, TK, TM>;\nalias Right = subgroup_matrix_right<f16, TN, TK>;\nalias Result = subgroup_matrix_result<f32, TN, TM>;\n",
    standIns,
  ],
  [", @builtin(subgroup_id) subgroup: u32) {\n", `) {\n  let subgroup = lid / ${LANES};\n  let lane = lid % ${LANES};\n`],
  ["subgroupMatrixLoad<Left, col_major>(&tile_a, ", "Left("],
  ["subgroupMatrixLoad<Right, row_major>(&tile_b, ", "Right("],
  ["subgroupMatrixMultiplyAccumulate(", "multiply_accumulate(lane, "],
  ["subgroupMatrixStore<row_major>(&results, ", "store_matrix(lane, "],
];

/** Reads each number of two matrices once, each lane its share: for who wants to know who reads what, and not what comes out. */
const touching: readonly [string, string] = [
  `    for (var k = 0u; k < TK + u[0].w; k++) {
      sum[i] += f32(tile_a[left.at + k * left.stride + at / TN]) * f32(tile_b[right.at + k * right.stride + at % TN]);
    }
`,
  `    sum[i] += f32(tile_a[left.at + at / TM * left.stride + at % TM]) * f32(tile_b[right.at + at / TN * right.stride + at % TN]);
`,
];

export function withoutMatrixUnits(text: string, { touched = false } = {}): string {
  let out = text;
  for (const [from, to] of touched ? [...changes, touching] : changes) {
    expect(out).toContain(from);
    out = out.replaceAll(from, to);
  }
  const code = out.replaceAll(/\/\/.*/g, "");
  expect(code).not.toMatch(/subgroup_|subgroupMatrix/);
  return out;
}

/** The bundle with its matrix units stood in for, on any device that has f16. */
export function standingIn({ program, wgsl, ...rest }: Bundle): Bundle {
  const texts = { ...wgsl };
  const kernels = program.kernels.map((kernel) => ({
    ...kernel,
    variants: kernel.variants.map((variant) => {
      if (!variant.requires.matrix) return variant;
      texts[variant.file] = withoutMatrixUnits(texts[variant.file]!);
      const { limits = {} } = variant.requires;
      return { ...variant, requires: { features: ["shader-f16"], limits } };
    }),
  }));
  const features = program.profile.features.filter((feature) => !feature.includes("matrix"));
  return { ...rest, program: { ...program, profile: { ...program.profile, features }, kernels }, wgsl: texts };
}
