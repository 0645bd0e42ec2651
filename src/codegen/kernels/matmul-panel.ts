/**
 * The subgroup form of matmul for a short K: what the second operand has for a tile's columns is loaded once for many rows. Most of such a
 * product is what comes once a result or once a tile, and this form has less of it; K stands in the text, so each K is a text of its own.
 */
import { evaluate } from "../../program/size.js";
import { kernelText, type LoweredVariant } from "../kernel.js";
import { countsOf, type MatmulPlan, tilesOf } from "./matmul-plan.js";
import { type Fours, flags, foursOf, loadText, NARROW } from "./matmul-subgroup.js";

/** Widths of subgroups that are a CPU's vector. At 4, quads swap rows in one instruction. */
const WIDTHS = [8, 16] as const;

/** The longest K: of two blocks of columns a lane keeps 2 KB, and all lanes of 8 a third of a core's first cache. */
const MOST_K = 64;

/** Rows of a tile, the most first: the panel is loaded once for them. Fewer where tiles would be too few for a machine's cores. */
const ROWS = [128, 64] as const;
const ENOUGH_TILES = 16;

/** The longest K for which the form is taken unasked: a text for 64 takes three times as long to compile as one for 32, and wins half as much. */
const OWN_K = 32;

const rowsOf = (plan: MatmulPlan): number | undefined => ROWS.find((rows) => tilesOf(plan, [rows, 8 * NARROW]) >= ENOUGH_TILES);

/** Whether the form pays by itself: not where a panel would be loaded for too few rows. */
export const suitsPanels = (plan: MatmulPlan): boolean =>
  evaluate(plan.shape.k.range, plan.region.batch) <= OWN_K && rowsOf(plan) !== undefined;

/** The variants for all widths; none where K is long, the operands' order does not suit, or squares are asked for, as of a weight's gradient. */
export function panelTiles(plan: MatmulPlan): LoweredVariant[] {
  const k = plan.shape.k.range;
  const rows = rowsOf(plan) ?? ROWS[1];
  const fours = foursOf(plan, rows);
  if (!fours?.aAlongK || plan.squares || typeof k !== "number" || k > MOST_K) return [];
  return WIDTHS.map((width) => panelTile(plan, width, { ...fours, k, rows }));
}

interface Panel extends Fours {
  readonly k: number;
  readonly rows: number;
}

function panelTile(plan: MatmulPlan, s: number, { k, rows, bAlongK, store }: Panel): LoweredVariant {
  const { region, words, sizes, finish, riding, shape } = plan;
  const blocks = s <= NARROW && countsOf(plan).columns > 4 * s ? 2 : 1;
  const tn = blocks * 4 * s;
  const text = kernelText({
    title: `matmul of ${k} terms, subgroups of ${s}: ${rows} × ${tn} results each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    vec4: [shape.aBinding, shape.bBinding, ...finish.bindings, ...store.vec4],
    words,
    consts: {
      S: `${s}u`,
      KC: `${k}u`,
      TM: `${rows}u`,
      TN: `${tn}u`,
      BLOCK: `${4 * s}u`,
      NV: `${blocks}u`,
      A_LOADS: `${Math.ceil(k / (4 * s))}u`,
      ...flags([bAlongK ? "B_K_BY_K" : "B_N_BY_N"]),
    },
    sizes,
    hooks: [loadText("a", shape.aBinding, 4), loadText("b", shape.bBinding, 4), store.hook, riding.hooks].join("\n"),
    file: "./kernels/matmul-panel.wgsl",
    libraries: ["./kernels/matmul-bands.wgsl"],
  });
  return {
    name: `subgroup-panel-${s}`,
    requires: { features: ["subgroups"], subgroupSize: s },
    workgroupSize: s,
    tile: [tn, rows, 1, 1],
    text,
  };
}
