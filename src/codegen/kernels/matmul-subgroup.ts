/** The subgroup form of matmul: written for one width, taken where the adapter has no other. */
import { evaluate } from "../../program/size.js";
import { inFours, isMultiple } from "../fours.js";
import { fnText, kernelText, type LoweredVariant } from "../kernel.js";
import { type MatmulPlan, type StoreFour, storeFours, storesVectors } from "./matmul-plan.js";
import { squareText } from "./matmul-squares.js";

/** Widths that adapters have; one text is made for each. */
const widths = [4, 8, 16, 32];

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

/** Undefined where the operands' order does not suit the forms of subgroups. */
export function foursOf(plan: MatmulPlan): Fours | undefined {
  const { a, b, m, n, k, fold, aBinding, bBinding } = plan.shape;
  const aAlongK = inFours(a, k);
  const aAlongM = !aAlongK && inFours(a, m);
  const bAlongK = aAlongK && inFours(b, k);
  const bAlongN = !bAlongK && inFours(b, n);
  if (!(aAlongK || aAlongM) || !(bAlongK || bAlongN) || !storesVectors(plan)) return undefined;
  // A binding has one type: operands and results are read and written by fours.
  const { finish } = plan;
  const store = storeFours(plan).find(
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
  return fours ? widths.map((width) => subgroupTile(plan, width, fours, tail(width))) : [];
}

/**
 * Most lines that the unrolled rows of an inline end may come to on a CPU's vectors, whose compilers take time as the square of them: 32
 * rows of a GELU took lavapipe half a minute.
 */
const MOST_LINES = 256;

/**
 * Rows a subgroup makes: as many as columns, so that a step of K loads as much of A as of B, up to 32. More would load less and take
 * drivers longer to compile: unrolled text grows with TM · KU. Vectors of 16 have no registers for 32 rows: 12 GFLOP/s on lavapipe, 85 at
 * width 8. Where quads divide K, 32 are a tenth faster and take half as long again to compile.
 */
const mostRows = (s: number, aAlongK: boolean, parts: number): number =>
  parts > 1 || (aAlongK && (s === 4 || s === 16)) ? 16 : 32;

/** Columns of a quad's lanes. */
const FEW_COLUMNS = 16;

/**
 * Parts of K, each a quad's, where half and more of the lanes would have no column and A lies along M: the gradient of a weight that reads few
 * channels. All quads have the same columns then. Where A lies along K this is no faster, for there are half as many loads again.
 */
function partsOf({ shape, region }: MatmulPlan, s: number, steps: number): number {
  const few = evaluate(shape.n.range, region.batch) <= FEW_COLUMNS;
  return few && s < GPU_WIDTH && isMultiple(shape.k.range, (s / 4) * steps) ? s / 4 : 1;
}

function subgroupTile(plan: MatmulPlan, s: number, { aAlongK, bAlongK, store }: Fours, tail: boolean): LoweredVariant {
  const { region, words, sizes, finish, riding } = plan;
  const { aBinding, bBinding } = plan.shape;
  // A GPU's lane keeps its results in registers anyway.
  const steps = !aAlongK && s < GPU_WIDTH && isMultiple(plan.shape.k.range, 2) ? 2 : 1;
  const parts = tail && !aAlongK ? partsOf(plan, s, steps) : 1;
  const tn = (4 * s) / parts;
  // No more rows than there are at the compile batch, but whole vectors of them.
  const most = Math.min(mostRows(s, aAlongK, parts), evaluate(plan.shape.m.range, region.batch));
  const lines = finish.plain || tail || s >= GPU_WIDTH ? 0 : store.hook.split("\n").length;
  const tm = [4, 8, 16, 32].find((rows) => rows >= most || 2 * rows * lines > MOST_LINES)!;
  const each = aAlongK ? 4 : steps;
  const squares = squareText(plan, "subgroup");
  const text = kernelText({
    title: `matmul, subgroups of ${s}: ${tm} × ${tn} results each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    vec4: [aBinding, bBinding, ...finish.bindings, ...store.vec4],
    words,
    consts: {
      S: `${s}u`,
      TM: `${tm}u`,
      TN: `${tn}u`,
      PARTS: `${parts}u`,
      OTHERS: `${parts - 1}u`,
      [parts > 1 ? "QUADS" : "ONE_PART"]: "true",
      K_EACH: `${each}u`,
      KU: `${parts * each}u`,
      A_STEPS: `${steps}u`,
      A_LOADS: `${Math.ceil(tm / (aAlongK ? tn / 4 : tn))}u`,
      A_ALONG_K: String(aAlongK),
      B_ALONG_K: String(bAlongK),
      TAIL: String(tail),
      ...(riding.consts.SUM_A === "true" ? { SUMS: "true" } : {}),
      ...squares.consts,
    },
    sizes,
    hooks: [
      fnText("load_a(i: u32) -> vec4f", [`return b${aBinding}[i / 4u];`]),
      fnText("load_b(i: u32) -> vec4f", [`return b${bBinding}[i / 4u];`]),
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
