/** The subgroup form of matmul: written for one width, taken where the adapter has no other. */
import { evaluate } from "../../program/size.js";
import { inFours } from "../fours.js";
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

/**
 * The variants for all widths; none when the operands' order does not suit the form. `vectors`: how many vec4 of columns a lane owns. Each
 * row that is handed round serves so many more of them, and so many more registers hold results.
 */
export function subgroupTiles(plan: MatmulPlan, end: SubgroupEnd, vectors: 1 | 2 = 1): LoweredVariant[] {
  const { a, b, m, n, k, fold, aBinding, bBinding } = plan.shape;
  const aAlongK = inFours(a, k);
  const aAlongM = !aAlongK && inFours(a, m);
  const bAlongK = aAlongK && inFours(b, k);
  const bAlongN = !bAlongK && inFours(b, n);
  if (!(aAlongK || aAlongM) || !(bAlongK || bAlongN) || !storesVectors(plan)) return [];
  // A binding has one type: operands and results are read and written by fours.
  const { finish } = plan;
  const store = storeFours(plan).find(
    ({ single }) => ![...finish.bindings, ...single].some((i) => i === aBinding || i === bBinding),
  );
  if (!store) return [];
  // Sums ride along where the operand is read by rows of the result anyway.
  if (fold.sums.some((x) => x.operand === 1 || !aAlongM)) return [];
  const tail = (width: number): boolean => (end === "best" ? width < GPU_WIDTH : end === "tail");
  return widths.map((width) => subgroupTile(plan, width, { aAlongK, bAlongK, store, tail: tail(width), vectors }));
}

/**
 * Most lines that the unrolled rows of an inline end may come to on a CPU's vectors, whose compilers take time as the square of them: 32
 * rows of a GELU took lavapipe half a minute.
 */
const MOST_LINES = 256;

interface Form {
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  readonly store: StoreFour;
  readonly tail: boolean;
  readonly vectors: 1 | 2;
}

/**
 * Rows a subgroup makes: as many as columns, so that a step of K loads as much of A as of B, up to 32. More would load less and take
 * drivers longer to compile: unrolled text grows with TM · KU. Vectors of 16 have no registers for 32 rows: 12 GFLOP/s on lavapipe, 85 at
 * width 8. Where a lane has twice the columns, half the rows are as many results; but SwiftShader, the one with vectors of 4, keeps nothing
 * in registers anyway, and each load costs it as much as tens of multiply-adds.
 */
function mostRows(s: number, aAlongK: boolean, vectors: 1 | 2): number {
  if (vectors === 2) return s === 4 ? 32 : 16;
  return aAlongK && (s === 4 || s === 16) ? 16 : 32;
}

function subgroupTile(plan: MatmulPlan, s: number, { aAlongK, bAlongK, store, tail, vectors }: Form): LoweredVariant {
  const { region, words, sizes, finish, riding } = plan;
  const { aBinding, bBinding } = plan.shape;
  // No more rows than there are at the compile batch, but whole vectors of them.
  const most = Math.min(mostRows(s, aAlongK, vectors), evaluate(plan.shape.m.range, region.batch));
  const lines = finish.plain || tail || s >= GPU_WIDTH ? 0 : store.hook.split("\n").length;
  const tm = [4, 8, 16, 32].find((rows) => rows >= most || 2 * rows * lines > MOST_LINES)!;
  const squares = squareText(plan, "subgroup");
  const text = kernelText({
    title: `matmul, subgroups of ${s}: ${tm} × ${4 * s * vectors} results each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    vec4: [aBinding, bBinding, ...finish.bindings, ...store.vec4],
    words,
    consts: {
      S: `${s}u`,
      TM: `${tm}u`,
      NV: `${vectors}u`,
      KU: aAlongK ? "4u" : "1u",
      A_LOADS: `${Math.ceil(tm / (aAlongK ? s : 4 * s))}u`,
      A_ALONG_K: String(aAlongK),
      B_ALONG_K: String(bAlongK),
      TAIL: String(tail),
      SUM_A: riding.consts.SUM_A!,
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
  });
  return {
    name: `subgroup-${s}`,
    requires: { features: ["subgroups"], subgroupSize: s },
    workgroupSize: s,
    tile: [4 * s * vectors, tm, 1, 1],
    text,
  };
}
