/**
 * What is done to all gradients of a step at once, found in an entry's function: the sum of their squares, and adding them to sums of
 * gradients. Both want every gradient stored beside its weight, so that they go over whole packs; here are the gradients, and the bodies of
 * the kernels.
 */
import { Builder } from "../ir/builder.js";
import { type Fn, type Node, type Param, producers, type Value } from "../ir/graph.js";
import { accumulated } from "../ir/ops/accumulate.js";
import { trainedKeys } from "../ir/parameter-runs.js";
import type { TensorType } from "../ir/types.js";

/** The gradient of a trained weight, as a region reads it. */
export interface Gradient {
  readonly key: string;
  readonly value: Value;
}

/** What the region's op of this name reads, as values outside of the region; undefined when it has no such op. */
export function operandsOf(node: Node, body: Fn, op: string): readonly Value[] | undefined {
  const own = node.attrs.kind === "op" ? body.nodes.find((n) => n.op === op) : undefined;
  if (!own) return undefined;
  const made = producers(body);
  // Operands are stored whole: between them and the op are renamings at most.
  const param = (v: Value): number => {
    const at = body.params.findIndex((p) => p.value === v);
    return at >= 0 ? at : param(made.get(v)!.inputs[0]!);
  };
  return own.inputs.map((v) => node.inputs[param(v)]!);
}

/** The gradients that a sum of squares is taken of: one for each trained weight, in order; none when it is of something else. */
export function gradientsOfNorm(params: readonly Param[], operands: readonly Value[]): Gradient[] {
  const keys = trainedKeys(params);
  return operands.length === keys.length ? operands.map((value, i) => ({ key: keys[i]!, value })) : [];
}

/** The gradients that are added to sums of their own, `g.<key>`. */
export function gradientsOfSums(params: readonly Param[], totals: readonly Value[], terms: readonly Value[]): Gradient[] {
  const keys = totals.map((v) =>
    params.find((p) => p.value === v && p.kind === "state" && p.name.startsWith("g."))?.name.slice(2),
  );
  return terms.flatMap((value, i) => (keys[i] === undefined ? [] : [{ key: keys[i]!, value }]));
}

/** A total, and its next value. */
export function accumulateBody(count: TensorType, type: TensorType): Fn {
  const b = new Builder();
  const of = b.param("count", "input", count);
  const [total, term] = [b.param("total", "input", type), b.param("term", "input", type)];
  return b.finish("region_accumulate", [{ name: "y", value: accumulated(b, of, total, term) }]);
}
