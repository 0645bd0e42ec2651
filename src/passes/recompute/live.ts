/**
 * How many bytes of a function's own values are alive at each of its nodes, at one batch. A model of what codegen makes of it: a region's
 * result is a storage, a view is none, what a concat joins is one storage. Results, gradients beside their weights and parameters have
 * places of their own and do not count. The exact plan (program/pack.ts) decides in the end; this finds the way there a thousand times
 * faster.
 */
import { typeBytes } from "../../ir/cost.js";
import type { Fn, Module, Value } from "../../ir/graph.js";
import { REGION } from "../../ir/region.js";
import { ALIGNMENT } from "../../program/pack.js";
import { evaluate } from "../../program/size.js";

export interface Live {
  /** Bytes alive at each node. */
  readonly bytes: readonly number[];
  /** The storage that a value lies in, called by the value that stands for it. */
  readonly storage: (v: Value) => Value;
  /** First and last node that touch a storage; one past the end for what stays. Storages that do not count have none. */
  readonly life: ReadonlyMap<Value, readonly [from: number, to: number]>;
  readonly size: (storage: Value) => number;
}

/** `gradients`: names of the bodies that read gradients where they lie beside their weights. */
export function liveBytes(fn: Fn, batch: number, gradients: ReadonlySet<string>): Live {
  const parent = new Map<Value, Value>();
  const storage = (v: Value): Value => {
    let root = v;
    for (let up = parent.get(root); up; up = parent.get(root)) root = up;
    return root;
  };
  const kept = new Set<Value>(fn.params.map((p) => p.value));
  for (const node of fn.nodes) {
    if (node.op === REGION) continue;
    const [out, first] = [node.outputs[0]!, storage(node.inputs[0]!)];
    if (node.op !== "concat" || kept.has(first)) parent.set(out, first);
    else for (const x of node.inputs) if (storage(x) !== out) parent.set(storage(x), out);
  }
  for (const { value } of fn.results) kept.add(storage(value));
  for (const node of fn.nodes) if (gradients.has(String(node.attrs.body))) for (const v of node.inputs) kept.add(storage(v));

  const life = new Map<Value, [number, number]>();
  const touch = (v: Value, at: number) => {
    const root = storage(v);
    if (kept.has(root)) return;
    const known = life.get(root);
    if (known) known[1] = at;
    else life.set(root, [at, at]);
  };
  fn.nodes.forEach((node, i) => {
    if (node.op !== REGION) return;
    for (const v of node.inputs) touch(v, i);
    for (const v of node.outputs) touch(v, i);
  });
  const size = (root: Value) => Math.ceil(evaluate(typeBytes(root.type), batch) / ALIGNMENT) * ALIGNMENT;
  const change = new Array<number>(fn.nodes.length + 1).fill(0);
  for (const [root, [from, to]] of life) {
    const n = size(root);
    change[from]! += n;
    change[to + 1]! -= n;
  }
  let now = 0;
  const bytes = fn.nodes.map((_, i) => {
    now += change[i]!;
    return now;
  });
  return { bytes, storage, life, size };
}

/** The bodies that `liveBytes` asks for. */
export const gradientReaders = (module: Module): ReadonlySet<string> =>
  new Set(
    module.fns.filter((fn) => fn.nodes.some((n) => n.op === "sum_of_squares" || n.op === "accumulate")).map((fn) => fn.name),
  );
