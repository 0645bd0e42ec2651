/**
 * stage-sums — a sum down the columns of something large, in two stages.
 *
 *   %s = sum(%x) {over=[token]}   ⇒   %p = sum_runs(%x) {axis="token", run=16}; %s = sum(%p) {over=[token]}
 *
 * The gradients of what was repeated over the tokens (shift, scale, gate) are such sums. The first stage is done by the kernel that has
 * the rows in hand anyway, a run of rows a workgroup; the second is a few terms an element, which its reader takes. Both in a fixed order,
 * so the bits are fixed. A sum over the axes that a dot contracts stays whole: it rides on that dot (the gradient of a bias).
 */
import { Builder } from "../ir/builder.js";
import type { Fn, Node } from "../ir/graph.js";
import { readers } from "../ir/graph.js";
import { sumRuns } from "../ir/ops/reduce.js";
import { drop, sum } from "../ir/ops/shape.js";
import { sizeOf } from "../ir/types.js";
import { product } from "../program/size.js";
import { mapFns, type Pass, rewrite } from "./pass.js";

export const stageSums: Pass = {
  name: "stage-sums",
  doc: "Sums down long columns in two stages: runs of rows first, where the rows are read, then the runs.",
  run: (module, options) => (options.fused === false || module.stage === "kernel" ? module : mapFns(module, staged)),
};

/** Columns from which on a workgroup has enough to do with a run of rows, and rows from which on two stages are worth it. */
const LEAST_COLUMNS = 32;
const LEAST_ROWS = 8;

function staged(fn: Fn): Fn {
  const readBy = readers(fn);
  return rewrite(fn, (node, out) => {
    const run = node.op === "sum" ? runOf(node) : undefined;
    if (!run || ridesOnDot(node, readBy.get(node.inputs[0]!) ?? [])) return undefined;
    const b = new Builder();
    b.loc = node.loc;
    const x = node.inputs[0]!;
    const parts = sumRuns(b, x, run);
    const over = node.attrs.over as readonly string[];
    const done = over.length === 1 && sizeOf(parts.type, run.axis) === 1;
    const total = done ? drop(b, parts, { axis: run.axis }) : sum(b, parts, { over });
    out.push(...b.nodes);
    return [total];
  });
}

/** The axis and length of the first stage: over the last summed axis, when columns follow it. */
function runOf(node: Node): { axis: string; run: number } | undefined {
  const { type } = node.inputs[0]!;
  const over = node.attrs.over as readonly string[];
  const at = type.axes.findLastIndex((a) => over.includes(a));
  const [rows, columns] = [type.shape[at], product(type.shape.slice(at + 1))];
  if (type.dtype !== "f32" || typeof rows !== "number" || typeof columns !== "number") return undefined;
  if (columns < LEAST_COLUMNS || rows < LEAST_ROWS) return undefined;
  const run = bestRun(rows);
  return run === undefined ? undefined : { axis: type.axes[at]!, run };
}

/** The divisor of `rows` nearest to 16 by ratio, from 4 to 64: enough rows for a workgroup, and enough workgroups. */
function bestRun(rows: number): number | undefined {
  const distance = (n: number) => Math.abs(Math.log2(n / 16));
  const divisors = Array.from({ length: 61 }, (_, i) => i + 4).filter((n) => rows % n === 0);
  return divisors.sort((a, b) => distance(a) - distance(b))[0];
}

/** Whether a dot reads the operand over the same axes, so that the sum is one more column of its result. */
export function ridesOnDot(node: Node, others: readonly Node[]): boolean {
  const over = node.attrs.over as readonly string[];
  const x = node.inputs[0]!;
  return others.some((dot) => {
    if (dot.op !== "dot" || !sameSet(dot.attrs.over as readonly string[], over)) return false;
    const [left, right] = [dot.inputs[0]!, dot.inputs[1]!];
    if (left === right) return false;
    const other = left === x ? right : left;
    return x.type.axes.every((a) => over.includes(a) || !other.type.axes.includes(a));
  });
}

const sameSet = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((x) => b.includes(x));
