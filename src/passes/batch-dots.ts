/**
 * batch-dots — products of one operand with several weights as one product with the weights side by side.
 *
 *   %a = dot(%x, %v); %b = dot(%x, %w)   ⇒   %c = concat(%v, %w) {axis="out"}; %y = dot(%x, %c); %a = slice(%y) …; %b = slice(%y) …
 *
 * The modulations of all blocks of a DiT read one condition, and separate projections to q, k and v one sequence: a kernel a weight would
 * read the operand again each time and give a small product to a large device. The weights are laid out side by side, so that concat and
 * slice are no work, here and in what differentiate makes of them. Runs are as long as one binding allows. A bias that each of the products
 * gets goes along. It runs before differentiate: then all gradients of a run are one product too.
 */
import { Builder } from "../ir/builder.js";
import type { Fn, Module, Node, Param, Value } from "../ir/graph.js";
import { producers, readers } from "../ir/graph.js";
import { dot } from "../ir/ops/contract.js";
import { add } from "../ir/ops/elementwise.js";
import { concat, expand, rename, slice } from "../ir/ops/shape.js";
import { ParameterRuns, weightKey } from "../ir/parameter-runs.js";
import { GRADIENT } from "../ir/region.js";
import { attrsKey } from "../ir/same.js";
import { numel, sizeOf } from "../ir/types.js";
import type { Size } from "../program/size.js";
import type { Pass } from "./pass.js";

export const batchDots: Pass = {
  name: "batch-dots",
  doc: "Products of one operand with several weights become one: the weights lie side by side, as many as one binding holds.",
  run: (module, options) => {
    if (options.fused === false || module.stage === "kernel") return module;
    const runs = ParameterRuns.of(module, options.maxBinding);
    const fns = module.fns.map((fn) => batched(fn, runs));
    return fns.every((fn, i) => fn === module.fns[i]) ? module : ({ ...module, fns } satisfies Module);
  },
};

/** x · weight, with or without a bias: the nodes, and the value they end in. */
interface Product {
  readonly x: Value;
  readonly weight: Param;
  readonly bias: Param | undefined;
  readonly over: readonly string[];
  /** The weight's own axis, its first. */
  readonly own: string;
  readonly nodes: readonly Node[];
  readonly result: Value;
}

function batched(fn: Fn, runs: ParameterRuns): Fn {
  const found = products(fn);
  const groups = new Map<string, Product[]>();
  const number = numbering(fn);
  for (const p of found) {
    const { type } = p.weight.value;
    const rest = type.axes.slice(1).map((a, i) => `${a} ${String(type.shape[i + 1])}`);
    const key = [number(p.x), p.over.join(" "), rest.join(" "), p.bias !== undefined].join("; ");
    groups.set(key, [...(groups.get(key) ?? []), p]);
  }
  const first = new Map<Node, readonly Product[]>();
  const gone = new Set<Node>();
  for (const group of groups.values()) {
    for (const run of cut(group, runs.limit)) {
      const lists = [run.map((p) => p.weight), ...(run[0]!.bias ? [run.map((p) => p.bias!)] : [])];
      if (run.length < 2 || !runs.take(...lists)) continue;
      first.set(run[0]!.nodes[0]!, run);
      for (const p of run) for (const n of p.nodes) gone.add(n);
    }
  }
  if (first.size === 0) return fn;
  const nodes: Node[] = [];
  const replaced = new Map<Value, Value>();
  const now = (v: Value): Value => replaced.get(v) ?? v;
  for (const node of fn.nodes) {
    const run = first.get(node);
    if (run) nodes.push(...written(run, now(run[0]!.x), replaced));
    if (!gone.has(node)) nodes.push(node.inputs.some((v) => replaced.has(v)) ? { ...node, inputs: node.inputs.map(now) } : node);
  }
  return { ...fn, nodes, results: fn.results.map((r) => ({ ...r, value: now(r.value) })) };
}

/** Runs of products whose weights fit one binding together. */
function cut(group: readonly Product[], limit: number): Product[][] {
  const runs: Product[][] = [];
  let bytes = 0;
  for (const p of group) {
    const own = 4 * (numel(p.weight.value.type) as number);
    if (runs.length === 0 || bytes + own > limit) {
      runs.push([]);
      bytes = 0;
    }
    runs.at(-1)!.push(p);
    bytes += own;
  }
  return runs;
}

function written(run: readonly Product[], x: Value, replaced: Map<Value, Value>): readonly Node[] {
  const b = new Builder();
  const [{ own, over, nodes, bias }] = run as [Product];
  b.loc = nodes[0]!.loc;
  const called = (p: Product, v: Value): Value =>
    p.own === own ? v : rename(b, v, { axes: v.type.axes.map((a) => (a === p.own ? own : a)) });
  const all = concat(
    b,
    run.map((p) => called(p, p.weight.value)),
    { axis: own },
  );
  let y = dot(b, x, all, { over });
  if (bias) {
    const biases = concat(
      b,
      run.map((p) => called(p, p.bias!.value)),
      { axis: own },
    );
    y = add(b, y, expand(b, biases, { axes: y.type.axes, sizes: y.type.shape }));
  }
  let from = 0;
  for (const p of run) {
    const size = sizeOf(p.weight.value.type, p.own) as number;
    const part = slice(b, y, { axis: own, from, to: from + size });
    const back = p.own === own ? part : rename(b, part, { axes: part.type.axes.map((a) => (a === own ? p.own : a)) });
    if (p.result.name) b.hint(back, p.result.name);
    replaced.set(p.result, back);
    from += size;
  }
  return b.finish("", []).nodes;
}

/** All products with a weight [own, contracted…] and what is a bias to them, in order. */
function products(fn: Fn): Product[] {
  const made = producers(fn);
  const read = readers(fn);
  const params = new Map(fn.params.filter((p) => weightKey(p) !== undefined).map((p) => [p.value, p]));
  const results = new Set(fn.results.map((r) => r.value));
  // A value that a gradient is asked for must stay what it is.
  const kept = new Set(fn.nodes.filter((n) => n.op === GRADIENT).flatMap((n) => n.inputs));
  const used = new Set<Param>();
  return fn.nodes.flatMap((node): Product[] => {
    if (node.op !== "dot") return [];
    const [x, w] = node.inputs as unknown as [Value, Value];
    const weight = params.get(w);
    const over = node.attrs.over as readonly string[];
    const y = node.outputs[0]!;
    if (!weight || params.has(x) || used.has(weight) || w.type.dtype !== "f32" || kept.has(y)) return [];
    const [own, ...rest] = w.type.axes as [string, ...string[]];
    const plain = rest.length === over.length && rest.every((a) => over.includes(a)) && !x.type.axes.includes(own);
    if (!plain || w.type.shape.some((s: Size) => typeof s !== "number")) return [];
    used.add(weight);
    const product = { x, weight, over, own };
    const [next, ...others] = read.get(y) ?? [];
    if (next?.op === "add" && others.length === 0 && !results.has(y)) {
      const other = next.inputs[0] === y ? next.inputs[1]! : next.inputs[0]!;
      const repeat = made.get(other);
      const bias = repeat?.op === "expand" ? params.get(repeat.inputs[0]!) : undefined;
      const isBias = bias?.value.type.axes.length === 1 && bias.value.type.axes[0] === own;
      // The expand stays for whoever else reads it.
      if (isBias && !kept.has(next.outputs[0]!)) return [{ ...product, bias, nodes: [node, next], result: next.outputs[0]! }];
    }
    return [{ ...product, bias: undefined, nodes: [node], result: y }];
  });
}

/**
 * Numbers under which values that are computed alike are the same. Before gradients are taken cse does not merge them; here they only
 * name the operand of a product, which is safe as long as no gradient is asked for anything but parameters.
 */
function numbering(fn: Fn): (v: Value) => number {
  const made = producers(fn);
  const numbers = new Map<Value, number>();
  const byKey = new Map<string, number>();
  const next = (): number => numbers.size;
  for (const p of fn.params) numbers.set(p.value, next());
  const inner = fn.nodes.some((n) => n.op === GRADIENT && n.inputs.slice(1).some((v) => made.has(v)));
  for (const node of fn.nodes) {
    const key = `${node.op}(${node.inputs.map((v) => numbers.get(v)).join(", ")}) {${attrsKey(node)}}`;
    node.outputs.forEach((v, i) => {
      const known = inner ? undefined : byKey.get(`${key} ${i}`);
      const n = known ?? next();
      numbers.set(v, n);
      if (known === undefined) byKey.set(`${key} ${i}`, n);
    });
  }
  return (v) => numbers.get(v)!;
}
