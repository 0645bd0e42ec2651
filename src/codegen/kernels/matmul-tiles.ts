/** The designs of matmul that need no feature of the device: register tiles, workgroup tiles, few rows. */
import { evaluate } from "../../program/size.js";
import { fnText, kernelText, type LoweredVariant } from "../kernel.js";
import { blocksOf } from "./matmul-blocks.js";
import { type MatmulPlan, storeHook } from "./matmul-plan.js";

const count = (n: number): string => `${n}u`;

/** Every operand straight from storage, one number at a time: any shape, no barrier. */
export function registerTile(plan: MatmulPlan): LoweredVariant {
  const [tm, tn, wx, wy] = [4, 4, 8, 8];
  const { shape, region, words, sizes, riding } = plan;
  const text = kernelText({
    title: `matmul, ${tm} × ${tn} results a thread, ${wx} × ${wy} threads`,
    bindings: region.bindings,
    words,
    consts: { TM: count(tm), TN: count(tn), WX: count(wx), WY: count(wy), ...riding.consts },
    sizes,
    hooks: [
      fnText("load_a(i: u32) -> f32", [`return b${shape.aBinding}[i];`]),
      fnText("load_b(i: u32) -> f32", [`return b${shape.bBinding}[i];`]),
      storeHook(plan),
      riding.hooks,
    ].join("\n"),
    file: "./kernels/matmul-register.wgsl",
  });
  return { name: `register-${tm}x${tn}`, requires: {}, workgroupSize: wx * wy, tile: [tn * wx, tm * wy, 1, 1], text };
}

/** Steps of K that are in workgroup memory at a time: 8 KiB for the largest tile, so that several workgroups fit a core. */
export const TILE_K = 16;

/** Tiles of A and B in workgroup memory, `tm` × 4 results a thread, 128 threads. */
export function workgroupTile(plan: MatmulPlan, tm: 4 | 8): LoweredVariant {
  const { region, words, sizes, riding } = plan;
  const wx = 2 * tm;
  const wy = 64 / tm;
  const [bm, bn] = [tm * wy, 4 * wx];
  const { vec4, hooks } = blocksOf(plan, "tiles");
  const text = kernelText({
    title: `matmul, workgroup tiles of ${bm} × ${bn}, ${tm} × 4 results a thread`,
    bindings: region.bindings,
    vec4,
    words,
    consts: {
      THREADS: count(wx * wy),
      TM: count(tm),
      WX: count(wx),
      WY: count(wy),
      BM: count(bm),
      BN: count(bn),
      BK: count(TILE_K),
      ...riding.consts,
    },
    sizes,
    hooks: `${hooks}\n${riding.hooks}`,
    file: "./kernels/matmul-workgroup.wgsl",
  });
  return { name: `workgroup-${bm}x${bn}`, requires: {}, workgroupSize: wx * wy, tile: [bn, bm, 1, 1], text };
}

/** Most rows that one workgroup of the few-row form makes. */
export const FEW_ROWS = 16;
/** Threads that share columns; each goes along K by four. */
const LANES = 16;
/** Least K for which every lane of the few-row form has something to do. */
export const FEW_ROWS_K = 4 * LANES;
const PARTS_BYTES = 8192;

/** Few rows: as many a workgroup as there are at the compile batch, so that at this batch each number of B is read once. */
export function fewRows(plan: MatmulPlan): LoweredVariant {
  const { region, words, sizes, shape } = plan;
  const { vec4, hooks, bAlongK } = blocksOf(plan, "rows");
  const here = evaluate(shape.m.range, region.batch);
  const rows = [2, 4, 8].find((r) => r >= here) ?? FEW_ROWS;
  // Columns side by side: 128 bytes of a row of B. Along K the lanes are side by side already.
  const groups = bAlongK ? 4 : 8;
  const threads = LANES * groups;
  const text = kernelText({
    title: `matmul, ${rows} rows, ${LANES} threads along K for every 4 columns`,
    bindings: region.bindings,
    vec4,
    words,
    consts: {
      THREADS: count(threads),
      ROWS: count(rows),
      LANES: count(LANES),
      GROUPS: count(groups),
      PASS: count(Math.min(rows, PARTS_BYTES / (16 * threads))),
      B_ALONG_K: String(bAlongK),
    },
    sizes,
    hooks,
    file: "./kernels/matmul-few.wgsl",
  });
  return { name: `few-${rows}`, requires: {}, workgroupSize: threads, tile: [4 * groups, rows, 1, 1], text };
}
