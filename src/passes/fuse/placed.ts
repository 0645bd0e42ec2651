/**
 * What needs no kernel because it is only a place in memory. A concat is one when its parts can be made where they belong: weights that
 * lie side by side, gradients of q, k and v that the attention kernels store as one tensor. A slice along the first axis of what a dot
 * or a sum makes is one too: the gradients of weights that lie side by side.
 */

import { Builder } from "../../ir/builder.js";
import { type Fn, type Node, producers, type Value } from "../../ir/graph.js";
import { opRow } from "../../ir/ops/index.js";
import { fill } from "../../ir/ops/pointwise.js";
import { concat, expand } from "../../ir/ops/shape.js";
import { type ParameterRuns, weightKey, weightsOf } from "../../ir/parameter-runs.js";
import { windowsOf } from "../../ir/strides.js";
import { ALIGNMENT } from "../../program/pack.js";
import { product, sameSize } from "../../program/size.js";
import { rewrite } from "../pass.js";
import type { Facts } from "./facts.js";

export interface Limits {
  readonly maxBuffers: number;
  readonly runs: ParameterRuns;
}

/** The values that a concat's operands are stored as, each in a window of it: none for weights; undefined when it is computed as any other op. */
export function joinedOperands(facts: Facts, i: number, { maxBuffers, runs }: Limits): readonly Value[] | undefined {
  const node = facts.node(i);
  if (node.op !== "concat" || node.outputs[0]!.type.dtype !== "f32") return undefined;
  const maker = (v: Value): Node | undefined => {
    const k = facts.maker(v);
    return k === undefined ? undefined : facts.node(k);
  };
  const weights = weightsOf(node, maker, (v) => facts.params.get(v));
  if (weights) return runs.has(weights.map((p) => weightKey(p)!)) ? [] : undefined;
  const views = (v: Value): Node | undefined => {
    const k = facts.maker(v);
    const seen = k !== undefined && (facts.roles[k] === "view" || (facts.roles[k] === "placed" && facts.node(k).op === "concat"));
    return seen ? facts.node(k) : undefined;
  };
  const found = windowsOf(node, views)?.map((w) => w.root);
  if (!found || new Set(found).size < found.length) return undefined;
  const alone = node.inputs.every((v) => onlyRead(facts, v));
  const roles = found.map((v) => facts.roles[facts.maker(v) ?? -1]);
  if (!alone || !roles.every((r) => r === "kernel" || r === "pointwise" || r === "cheap" || r === "free")) return undefined;
  // What a reader computes as it reads need not be stored at all, where that reader may bind what the parts are made of.
  if (!roles.every((r) => r === "kernel") && !mustBeStored(facts, node.outputs[0]!) && stored(facts, found).size < maxBuffers)
    return undefined;
  return found;
}

/** Constants that a concat reads are its own, so that they can be stored where they belong: elsewhere they are never stored. */
export function ownConstants(fn: Fn): Fn {
  const made = producers(fn);
  return rewrite(fn, (node, out) => {
    const constants = node.op === "concat" ? node.inputs.map((v) => made.get(v)).filter((n) => n?.op === "fill") : [];
    if (constants.length === 0) return undefined;
    const axis = node.attrs.axis as string;
    const b = new Builder();
    b.loc = node.loc;
    const own = (v: Value): Value => {
      const value = made.get(v)?.op === "fill" ? (made.get(v)!.attrs.value as number) : undefined;
      if (value === undefined) return v;
      const at = v.type.axes.indexOf(axis);
      if (!sameSize(v.type.shape[at]!, 1)) return fill(b, { value, type: v.type });
      // Like the parts beside it, which the concat gives their axis: so that one kernel can make them all.
      const type = { ...v.type, axes: v.type.axes.toSpliced(at, 1), shape: v.type.shape.toSpliced(at, 1) };
      return expand(b, fill(b, { value, type }), { axes: v.type.axes, sizes: v.type.shape });
    };
    const whole = concat(b, node.inputs.map(own), { axis });
    out.push(...b.nodes);
    return [whole];
  });
}

/**
 * A concat of more stored values than one kernel may bind, which cannot be stored where they belong (results of dots, parts of something):
 * each is copied into its window, as many a kernel as it can bind.
 */
export function copiedParts(facts: Facts, maxBuffers: number): Fn {
  const crowded = (node: Node, i: number): boolean =>
    node.op === "concat" && facts.roles[i] === "pointwise" && stored(facts, node.inputs).size >= maxBuffers;
  const wide = new Set(facts.fn.nodes.filter(crowded).map((n) => n.outputs[0]!));
  return rewrite(facts.fn, (node, out) => {
    if (!wide.has(node.outputs[0]!)) return undefined;
    const b = new Builder();
    b.loc = node.loc;
    const parts = node.inputs.map((v) => b.emit("copy", [v], {})[0]!);
    const whole = concat(b, parts, { axis: node.attrs.axis as string });
    out.push(...b.nodes);
    return [whole];
  });
}

/** Whether no reader sees the elements one by one at their own places, so that one kernel could make and use them. */
function mustBeStored(facts: Facts, v: Value): boolean {
  return facts.readers(v).every((i) => {
    if (["dot", "kernel", "placed"].includes(facts.roles[i]!)) return true;
    return facts.node(i).inputs.every((x) => {
      const { value, way } = facts.source(x);
      return value !== v || way === "other";
    });
  });
}

/** Whether nothing but this one way of views reads what stands behind `v`. */
function onlyRead(facts: Facts, v: Value): boolean {
  if (facts.directReaders(v).length !== 1 || facts.results.has(v)) return false;
  const i = facts.maker(v);
  return i === undefined || facts.roles[i] !== "view" || onlyRead(facts, facts.node(i).inputs[0]!);
}

/** What lies in memory in any case behind these values and what is elementwise before them. */
function stored(facts: Facts, values: readonly Value[]): Set<Value> {
  const found = new Set<Value>();
  const seen = new Set<Value>();
  const visit = (v: Value): void => {
    if (seen.has(v)) return;
    seen.add(v);
    const i = facts.maker(v);
    if (i === undefined || !["pointwise", "view", "free", "cheap"].includes(facts.roles[i]!)) found.add(v);
    else for (const x of facts.node(i).inputs) visit(x);
  };
  for (const v of values) visit(v);
  return found;
}

/** The slices that are places of their own: all that reads a dot's or a sum's result, each where a binding may begin. */
export function partsOf(facts: Facts): number[] {
  return facts.fn.nodes.flatMap((node, i) => {
    if (opRow(node.op).fusion.kind !== "anchor" || facts.roles[i] === "pointwise") return [];
    const v = node.outputs[0]!;
    const row = product(v.type.shape.slice(1));
    const readers = facts.directReaders(v);
    if (typeof row !== "number" || v.type.dtype !== "f32" || readers.length < 2 || facts.results.has(v)) return [];
    const fits = (n: Node): boolean =>
      n.op === "slice" && n.attrs.axis === v.type.axes[0] && ((n.attrs.from as number) * row * 4) % ALIGNMENT === 0;
    if (!readers.every((r) => fits(facts.node(r)))) return [];
    // Parts that overlap would be two bindings of the same bytes where one kernel reads both.
    const ends = readers.map((r) => facts.node(r).attrs as { from: number; to: number }).sort((a, b) => a.from - b.from);
    return ends.every((e, k) => k === 0 || ends[k - 1]!.to <= e.from) ? readers : [];
  });
}
