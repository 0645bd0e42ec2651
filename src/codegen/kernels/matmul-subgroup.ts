/** The subgroup form of matmul: written for one width, taken where the adapter has no other. */
import { inFours, isMultiple } from "../fours.js";
import { fnText, kernelText, type LoweredVariant } from "../kernel.js";
import { countsOf, type MatmulPlan, type StoreFour, storeFours, storesVectors } from "./matmul-plan.js";
import { squareText } from "./matmul-squares.js";

/** Widths that adapters have; one text is made for each. */
const widths = [4, 8, 16, 32];

/** Rows a subgroup makes at most. */
const MOST_ROWS = 32;

/** The least width of a GPU's subgroups where it is fixed; below it a subgroup is the vector of a CPU that stands in for one. */
export const GPU_WIDTH = 32;

/**
 * How results are stored, and what follows the dot is done: row by row in text that is unrolled (inline), or in a loop (tail), which finds a
 * row's results by an index. `best` is by width. On CPU drivers the unrolled stores are three quarters of a kernel's time to compile, and the
 * loop costs nothing; a GPU would keep results that are found by an index in memory.
 */
export type SubgroupEnd = "inline" | "tail" | "best";

/** How the operands of a form that reads and stores by fours lie, and how its results are stored. */
export interface Fours {
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  readonly store: StoreFour;
}

/** Undefined where the operands' order does not suit the forms of subgroups. So many rows of results are stored one after the other. */
export function foursOf(plan: MatmulPlan, rows = MOST_ROWS): Fours | undefined {
  const { a, b, m, n, k, fold, aBinding, bBinding } = plan.shape;
  const aAlongK = inFours(a, k);
  const aAlongM = !aAlongK && inFours(a, m);
  const bAlongK = aAlongK && inFours(b, k);
  const bAlongN = !bAlongK && inFours(b, n);
  if (!(aAlongK || aAlongM) || !(bAlongK || bAlongN) || !storesVectors(plan)) return undefined;
  // A binding has one type: operands and results are read and written by fours.
  const { finish } = plan;
  const store = storeFours(plan, rows).find(
    ({ single }) => ![...finish.bindings, ...single].some((i) => i === aBinding || i === bBinding),
  );
  // Sums ride along where the operand is read by rows of the result anyway.
  if (!store || fold.sums.some((x) => x.operand === 1 || !aAlongM)) return undefined;
  return { aAlongK, bAlongK, store };
}

/** The variants for all widths; none when the operands' order does not suit the form. */
export function subgroupTiles(plan: MatmulPlan, end: SubgroupEnd): LoweredVariant[] {
  const fours = foursOf(plan);
  const tail = (width: number): boolean => (end === "best" ? width < GPU_WIDTH : end === "tail");
  return fours && inTwos(plan, fours) ? widths.map((width) => subgroupTile(plan, width, fours, tail(width))) : [];
}

/** Whether what lies along K can be read by twos: a binding has one type, and nothing else may read it by fours. */
function inTwos({ shape: { aBinding, bBinding } }: MatmulPlan, { aAlongK, bAlongK, store }: Fours): boolean {
  if (aBinding === bBinding && aAlongK !== bAlongK) return false;
  return !(aAlongK && store.vec4.includes(aBinding)) && !(bAlongK && store.vec4.includes(bBinding));
}

/**
 * Most lines that the unrolled rows of an inline end may come to on a CPU's vectors, whose compilers take time as the square of them: 32
 * rows of a GELU took lavapipe half a minute.
 */
const MOST_LINES = 256;

/** Up to this width a load is so little code that a step may have the more of them: it is code for each lane. */
export const NARROW = 8;

/**
 * Blocks of four columns a lane. Two suit narrow vectors, whose code for a step is what a core's first cache holds then. With three, or with
 * 64 rows, lavapipe takes 1.3 to 2 times as long. Of few rows, or few columns, or where K may be odd and so is short, one makes up for no less
 * time to compile.
 */
function blocksOf(plan: MatmulPlan, s: number): 1 | 2 {
  const { rows, columns } = countsOf(plan);
  return s <= NARROW && rows > MOST_ROWS / 2 && columns > 4 * s && isMultiple(plan.shape.k.range, 2) ? 2 : 1;
}

/** Bytes after which a core's first cache has the same places again: rows of both operands that lie so far apart drive each other out. */
const CACHE_PERIOD = 4096;

/**
 * How many k a step takes: two. Where each row of either operand starts at the same place of the cache each load has to wait, so there are half
 * as many, of four numbers, and one block of columns, because code for four k of two blocks is more than the cache for that holds.
 */
function stepsOf({ shape }: MatmulPlan, blocks: number, alongK: boolean): 1 | 2 | 4 {
  const { range } = shape.k;
  if (alongK && blocks > 1 && isMultiple(range, CACHE_PERIOD / 4)) return 4;
  return isMultiple(range, 2) ? 2 : 1;
}

/** Columns of a quad's lanes. */
const FEW_COLUMNS = 16;

/**
 * Parts of K, each a quad's, where half and more of the lanes would have no column: a final layer, and the gradient of a weight that reads few
 * channels. All quads have the same columns then. Where vectors are not narrow only if A lies along M.
 */
function partsOf(plan: MatmulPlan, s: number, steps: number, aAlongK: boolean): number {
  if (aAlongK && (s > NARROW || steps === 4)) return 1;
  const few = countsOf(plan).columns <= FEW_COLUMNS;
  return few && s < GPU_WIDTH && isMultiple(plan.shape.k.range, (s / 4) * steps) ? s / 4 : 1;
}

/** So many numbers at a time. */
export const loadText = (name: string, binding: number, width: number): string =>
  fnText(`load_${name}(i: u32) -> vec${width}f`, [`return b${binding}[i / ${width}u];`]);

/** Consts that stand for which lines of the text are there. */
export const flags = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, "true"]));

function subgroupTile(plan: MatmulPlan, s: number, { aAlongK, bAlongK, store }: Fours, tail: boolean): LoweredVariant {
  const { region, words, sizes, finish, riding } = plan;
  const { aBinding, bBinding } = plan.shape;
  const most = tail ? blocksOf(plan, s) : 1;
  const steps = stepsOf(plan, most, aAlongK && bAlongK);
  const parts = tail ? partsOf(plan, s, steps, aAlongK) : 1;
  const block = (4 * s) / parts;
  const blocks = parts === 1 && steps < 4 ? most : 1;
  const tn = blocks * block;
  const [aWidth, bWidth] = [aAlongK ? steps : 4, bAlongK ? steps : 4];
  // No more rows than there are at the compile batch, but whole vectors of them; half as many where four quads have each its part of a step.
  const rows = Math.min(parts > 2 ? MOST_ROWS / 2 : MOST_ROWS, countsOf(plan).rows);
  const lines = finish.plain || tail || s >= GPU_WIDTH ? 0 : store.hook.split("\n").length;
  const tm = [4, 8, 16, 32].find((count) => count >= rows || 2 * count * lines > MOST_LINES)!;
  const squares = squareText(plan, "subgroup");
  const text = kernelText({
    title: `matmul, subgroups of ${s}: ${tm} × ${tn} results each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    vec2: [...(aWidth === 2 ? [aBinding] : []), ...(bWidth === 2 ? [bBinding] : [])],
    vec4: [...(aWidth === 4 ? [aBinding] : []), ...(bWidth === 4 ? [bBinding] : []), ...finish.bindings, ...store.vec4],
    words,
    consts: {
      S: `${s}u`,
      TM: `${tm}u`,
      TN: `${tn}u`,
      BLOCK: `${block}u`,
      NV: `${blocks}u`,
      RESULTS: `${tm * blocks}u`,
      PARTS: `${parts}u`,
      OTHERS: `${parts - 1}u`,
      STEPS: `${steps}u`,
      KU: `${parts * steps}u`,
      A_LANES: `${s / parts}u`,
      A_LOADS: `${Math.ceil(tm / (aAlongK ? s / parts : block))}u`,
      B_PLACES: `${bAlongK ? 4 * blocks : blocks}u`,
      ...flags(parts > 1 ? ["QUADS"] : []),
      ...flags(
        aAlongK
          ? ["A_K_BY_K", `${steps === 4 ? "FOUR" : "TWO"}_ALONG_K`, `${parts > 1 ? "QUADS" : "ONE_PART"}_ALONG_K`]
          : ["A_M_BY_M", `${steps === 2 ? "TWO" : "ONE"}_ALONG_M`, `${parts > 1 ? "QUADS" : "ONE_PART"}_ALONG_M`],
      ),
      ...flags(bAlongK ? ["B_K_BY_K"] : ["B_N_BY_N", aAlongK ? "B_WALKS" : "B_BY_ITS_K"]),
      TAIL: String(tail),
      ...(riding.consts.SUM_A === "true" ? { SUMS: "true" } : {}),
      ...squares.consts,
    },
    sizes,
    hooks: [
      ...(aAlongK ? [`alias AlongK = vec${steps}f;\n`] : []),
      loadText("a", aBinding, aWidth),
      loadText("b", bBinding, bWidth),
      ...squares.hooks,
      store.hook,
      riding.hooks,
    ].join("\n"),
    file: "./kernels/matmul-subgroup.wgsl",
    libraries: ["./kernels/matmul-bands.wgsl"],
  });
  return {
    name: `subgroup-${s}`,
    requires: { features: ["subgroups"], subgroupSize: s },
    workgroupSize: s,
    tile: [tn, tm, 1, 1],
    text,
  };
}
