/**
 * K divided among workgroups: for products of few results and a long K, like the gradient of a small weight over a batch of tokens, whose
 * tiles alone would leave most of a GPU idle. Two kernels run. In the first, which is the one of workgroup tiles, each part of K is a
 * product of its own; its results, and its sums of the operands, lie in memory between the two. The second adds the parts in their order,
 * so that the bits are the same each time, and does what follows the product.
 */
import type { Kernel } from "../../program/program.js";
import { add, evaluate, mul, product, type Size } from "../../program/size.js";
import { fnText, kernelText, type Lowered, type Stage } from "../kernel.js";
import { type Loop, type Region, rowMajor } from "../region.js";
import { type MatmulPlan, type MatmulShape, matmulShape, matmulWords, planOf, storeHook, tilesOf } from "./matmul-plan.js";
import { sidesOf, type Tile, threadsOf, tileName, workgroupVariants } from "./matmul-tiles.js";

/** More parts than this are more to add than to multiply. */
const MOST_PARTS = 32;
/** Steps of K that a part takes at least: fewer are hardly worth starting for. */
const LEAST_STEPS = 2;
const WORKGROUP = 64;
/** The family of the second kernel. */
const ADDS = "matmul-parts";

/** Whether a dispatch of this kernel ends the work of the one before it. */
export const addsParts = ({ family }: Pick<Kernel, "family">): boolean => family === ADDS;

export const splitName = (tile: Tile): string => `split-k-${sidesOf(tile).join("x")}`;

/**
 * How many parts give a GPU enough threads at the compile batch, undefined where there is nothing to divide: the tiles are enough by
 * themselves, or K is short.
 */
export function partsOf(region: Region, shape: MatmulShape, tile: Tile, enough: number): number | undefined {
  const groups = tilesOf({ shape, region }, sidesOf(tile));
  const parts = Math.min(
    Math.ceil(enough / (groups * threadsOf(tile))),
    Math.floor(evaluate(shape.k.range, region.batch) / (LEAST_STEPS * tile.depth)),
    MOST_PARTS,
  );
  return parts >= 2 ? parts : undefined;
}

/**
 * Both kernels; undefined where the product has a second batch axis, where the squares of its results are asked for, or the second kernel
 * would bind more than the whole does.
 */
export function splitK(region: Region, shape: MatmulShape, tile: Tile, parts: number): Lowered | undefined {
  if (evaluate(shape.batch[0].range, 2) !== 1 || shape.fold.squares) return undefined;
  const { finish } = planOf(region, shape);
  const operands = [...new Set([shape.aBinding, shape.bBinding])];
  const rest = [...new Set([...finish.reads, ...finish.bindings, ...shape.fold.sums.map((sum) => sum.binding)])];
  if (rest.length + 1 > region.bindings.length) return undefined;
  const layout = layoutOf(shape, parts);
  const before = { ...partKernel(region, shape, operands, tile, layout), binds: operands };
  return { ...addKernel(region, rest, layout), binds: rest, before, between: layout.length };
}

/** How the parts lie: the results of each, row by row, and then the sums of each, those of A before those of B. */
interface Layout {
  readonly parts: Loop;
  readonly results: Size;
  readonly sumsA: Size;
  readonly sumsB: Size;
  readonly length: Size;
}

function layoutOf({ batch, m, n, fold }: MatmulShape, parts: number): Layout {
  const has = (operand: 0 | 1) => fold.sums.some((sum) => sum.operand === operand);
  const results = product([batch[1].range, m.range, n.range]);
  const sumsA = has(0) ? mul(batch[1].range, m.range) : 0;
  const sumsB = has(1) ? mul(batch[1].range, n.range) : 0;
  const length = mul(parts, add(results, add(sumsA, sumsB)));
  return { parts: { name: "part", range: parts }, results, sumsA, sumsB, length };
}

/** The region with some of its bindings alone, and behind them the memory between the two kernels. */
function withParts(region: Region, binds: readonly number[]): Region {
  const place = (binding: number): number => binds.indexOf(binding);
  return {
    ...region,
    bindings: [...binds.map((i) => region.bindings[i]!), { dtype: "f32", access: "read_write" }],
    params: region.params.map(place),
    results: region.results.map(place),
  };
}

/** The first kernel: workgroup tiles of a product with the parts as a batch axis, which moves neither operand but the bounds of k. */
function partKernel(whole: Region, shape: MatmulShape, binds: readonly number[], tile: Tile, layout: Layout): Stage {
  const { parts, results, sumsA, sumsB } = layout;
  const [region, to] = [withParts(whole, binds), binds.length];
  const part: MatmulShape = {
    ...shape,
    batch: [shape.batch[1], parts],
    c: rowMajor([parts, shape.batch[1], shape.m, shape.n]),
    aBinding: binds.indexOf(shape.aBinding),
    bBinding: binds.indexOf(shape.bBinding),
    fold: { ...shape.fold, sums: shape.fold.sums.map((sum) => ({ ...sum, binding: to })) },
  };
  const { words, sizes } = matmulWords(part);
  const own = {
    ...sizes,
    K_FROM: `part_from(batch % ${sizes.BATCH1})`,
    K_TO: `part_from(batch % ${sizes.BATCH1} + 1u)`,
    SUMS: words.named("SUMS", mul(parts.range, results)),
    SUMS_PART: words.named("SUMS_PART", add(sumsA, sumsB)),
    SUMS_A: words.named("SUMS_A", sumsA),
  };
  const has = { a: sumsA !== 0, b: sumsB !== 0 };
  const storeSum = (x: "a" | "b", at: string) =>
    fnText(
      `store_sum_${x}(${x === "a" ? "m" : "n"}: u32, batch: u32, value: f32)`,
      has[x] ? [`b${to}[SUMS + (batch % BATCH1) * SUMS_PART + ${at}] = value;`] : [],
    );
  const hooks = [
    fnText("part_from(part: u32) -> u32", ["return min(part * ((K + BATCH1 * BK - 1u) / (BATCH1 * BK)) * BK, K);"]),
    storeSum("a", "batch / BATCH1 * M + m"),
    storeSum("b", "SUMS_A + batch / BATCH1 * N + n"),
  ].join("\n");
  const finish = { plain: true, text: "", bindings: [to], dtypes: ["f32"], reads: [], inFours: () => undefined } as const;
  const riding = { consts: { SUM_A: String(has.a), SUM_B: String(has.b) }, hooks };
  const plan: MatmulPlan = { region, shape: part, words, sizes: own, finish, loops: [], riding };
  const variants = workgroupVariants(plan, tile);
  return {
    family: "matmul",
    words,
    extent: [shape.n.range, shape.m.range, parts.range, shape.batch[1].range],
    variants: variants.map((variant) => ({ ...variant, name: variant.name.replace(tileName(tile), splitName(tile)) })),
  };
}

/** The second kernel: a thread adds the parts of one result, or of one sum. */
function addKernel(whole: Region, binds: readonly number[], { parts, results, sumsA, sumsB }: Layout): Stage {
  const region = withParts(whole, binds);
  const plan = planOf(region, matmulShape(region)!);
  const { words, riding } = plan;
  const sizes = {
    ...plan.sizes,
    PARTS: words.named("PARTS", parts.range),
    RESULTS: words.named("RESULTS", results),
    SUMS_A: words.named("SUMS_A", sumsA),
    SUMS_B: words.named("SUMS_B", sumsB),
  };
  const text = kernelText({
    title: "matmul, the parts of K added",
    bindings: region.bindings,
    words,
    consts: { THREADS: `${WORKGROUP}u`, ...riding.consts },
    sizes,
    hooks: [fnText("load_part(i: u32) -> f32", [`return b${binds.length}[i];`]), storeHook(plan), riding.hooks].join("\n"),
    file: "./kernels/matmul-parts.wgsl",
  });
  return {
    family: ADDS,
    words,
    extent: [add(results, add(sumsA, sumsB))],
    variants: [{ name: "parts", requires: {}, workgroupSize: WORKGROUP, tile: [WORKGROUP], text }],
  };
}
