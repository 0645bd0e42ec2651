/**
 * narrow — tensors that lie in memory between kernels are stored in 16 bits: activations, their gradients, and weights that no function
 * trains.
 *
 *   %h = region(%x) @dot : f32[…]    ⇒   %h = region(%x) @dot : f16[…]        where @dot ends with cast(…) {dtype="f16"}
 *
 * Kernels compute as before. A body takes such an operand through a cast to f32 right where it comes in, and gives such a result through
 * a cast right where it goes out; nothing else of f16 stands in a kernel, and the verifier refuses it. So statistics, softmax and
 * accumulators are f32 by construction. What stays f32 in memory too: what a caller sees (inputs, results), state, hence trained weights,
 * moments and averages; sums, the logarithms of attention's sums and whatever has one value a row; and what is no work of the model, the
 * noise, the images and the insides of the loss, which a narrow tensor would rob of their range: of the model are products and attention,
 * and the kernels that make operands for them.
 */
import { type Fn, type Node, producers, type Value } from "../ir/graph.js";
import { opRow } from "../ir/ops/index.js";
import { weightKey, weightsOf } from "../ir/parameter-runs.js";
import { isBody, REGION } from "../ir/region.js";
import { numel, type TensorType } from "../ir/types.js";
import { ALIGNMENT } from "../program/pack.js";
import { evaluate, mul, product, type Size } from "../program/size.js";
import type { Pass } from "./pass.js";

export const narrow: Pass = {
  name: "narrow",
  doc: "Store activations, and weights that nothing trains, in f16; kernels compute in f32 as before. Only where it is asked for.",
  run: (module, { narrow: wanted = false }) => {
    if (!wanted || module.stage !== "kernel") return module;
    const bodies = new Map(module.fns.filter(isBody).map((fn) => [fn.name, fn]));
    const entries = module.fns.filter((fn) => !isBody(fn));
    const groups = entries.map((fn) => groupsOf(fn, bodies));
    settleWeights(entries, groups);
    if (wanted === "weights") for (const group of groups.flat()) group.narrow &&= group.weights.length > 0;
    const made = new Bodies(bodies);
    const fns = entries.map((fn, i) => {
      const values = groups[i]!.filter((g) => g.narrow).flatMap((g) => [...g.values]);
      return values.length === 0 ? fn : narrowed(fn, new Set(values), made);
    });
    return fns.every((fn, i) => fn === entries[i]) ? module : { ...module, fns: [...fns, ...made.used(fns)] };
  },
};

/** Values that are places in the same memory: one read through aliases, parts that a concat joins. */
interface Group {
  readonly values: ReadonlySet<Value>;
  /** Keys of the weights among them. */
  readonly weights: readonly string[];
  narrow: boolean;
}

function groupsOf(fn: Fn, bodies: ReadonlyMap<string, Fn>): Group[] {
  const sets = new Map<Value, Set<Value>>();
  const setOf = (v: Value): Set<Value> => {
    const known = sets.get(v);
    if (known) return known;
    const alone = new Set([v]);
    sets.set(v, alone);
    return alone;
  };
  const join = (a: Value, b: Value) => {
    const [into, from] = [setOf(a), setOf(b)];
    if (into === from) return;
    for (const v of from) {
      into.add(v);
      sets.set(v, into);
    }
  };
  for (const p of fn.params) setOf(p.value);
  for (const node of fn.nodes) {
    for (const v of node.outputs) setOf(v);
    if (node.op !== REGION) for (const v of node.inputs) join(node.outputs[0]!, v);
  }
  const all = [...new Set(sets.values())];
  const facts = factsOf(fn, bodies, setOf);
  return all.map((values) => {
    const params = fn.params.filter((p) => values.has(p.value));
    const weights = params.flatMap((p) => (p.kind === "parameter" ? [weightKey(p)!] : []));
    // Neither a result, nor what a result is the next value of.
    const seen = fn.results.some((r) => values.has(r.value) || params.some((p) => p.name === r.name));
    const may = !seen && [...values].every((v) => facts.may(v));
    const ofModel = weights.length > 0 || (facts.madeByModel(values) && facts.readByModel(values));
    return { values, weights, narrow: params.length === weights.length && may && ofModel };
  });
}

/** A weight is stored in one way for all functions: as f32 if one of them trains it or cannot have it in 16 bits. */
function settleWeights(entries: readonly Fn[], groups: readonly (readonly Group[])[]): void {
  const all = groups.flat();
  const wide = new Set(entries.flatMap((fn) => fn.params.flatMap((p) => (p.kind === "state" ? (weightKey(p) ?? []) : []))));
  for (let changed = true; changed; ) {
    changed = false;
    for (const group of all) {
      if (group.narrow && group.weights.some((key) => wide.has(key))) {
        group.narrow = false;
        changed = true;
      }
      if (!group.narrow) for (const key of group.weights) wide.add(key);
    }
  }
}

interface Facts {
  /** Whether the value may lie in 16 bits, as far as it alone is concerned. */
  readonly may: (v: Value) => boolean;
  readonly madeByModel: (values: ReadonlySet<Value>) => boolean;
  readonly readByModel: (values: ReadonlySet<Value>) => boolean;
}

function factsOf(fn: Fn, bodies: ReadonlyMap<string, Fn>, groupOf: (v: Value) => ReadonlySet<Value>): Facts {
  const refused = new Set<Value>();
  const made = producers(fn);
  const params = new Map(fn.params.map((p) => [p.value, p]));
  /** What products and attention read. */
  const operands = new Set<ReadonlySet<Value>>();
  const regions = fn.nodes.filter((n) => n.op === REGION);
  for (const node of fn.nodes) {
    if (node.op !== REGION) {
      if (
        !keepsItsPlace(
          node,
          (v) => made.get(v),
          (v) => params.get(v),
        )
      )
        refused.add(node.outputs[0]!);
      continue;
    }
    const body = bodies.get(node.attrs.body as string)!;
    // What goes through memory from end to end, whatever is there: sums of squares, sums of gradients.
    const whole = body.nodes.some((n) => wholly(n));
    for (const v of node.inputs) {
      if (whole) refused.add(v);
      else if (isProduct(node)) operands.add(groupOf(v));
    }
    body.results.forEach((r, k) => {
      if (whole || isStatistic(body, node.attrs.kind as string, r.value)) refused.add(node.outputs[k]!);
    });
  }
  const ofModel = regions.filter((n) => isProduct(n) || n.outputs.some((v) => operands.has(groupOf(v))));
  const read = new Set(ofModel.flatMap((n) => n.inputs.map(groupOf)));
  const makers = new Set(ofModel);
  return {
    may: (v) => v.type.dtype === "f32" && !refused.has(v) && everyPart(numel(v.type), (n) => n % 4 === 0),
    madeByModel: (values) => [...values].every((v) => made.get(v)?.op !== REGION || makers.has(made.get(v)!)),
    readByModel: (values) => read.has(values),
  };
}

const isProduct = (region: Node): boolean => region.attrs.kind === "dot" || region.attrs.kind === "op";

const wholly = (n: Node): boolean => {
  const { fusion } = opRow(n.op);
  return fusion.kind === "kernel" && fusion.whole === true;
};

const everyPart = (size: Size, holds: (n: number) => boolean): boolean =>
  typeof size === "number" ? holds(size) : size.every(holds);

/** Whether parts of memory still begin where a binding may when they take half the bytes: slices, and weights that lie side by side. */
function keepsItsPlace(node: Node, made: Parameters<typeof weightsOf>[1], param: Parameters<typeof weightsOf>[2]): boolean {
  const aligned = (elements: Size): boolean => everyPart(elements, (n) => (2 * n) % ALIGNMENT === 0);
  const x = node.inputs[0]!.type;
  if (node.op === "slice") return aligned(mul(node.attrs.from as number, product(x.shape.slice(1))));
  return !weightsOf(node, made, param) || node.inputs.every((v) => aligned(numel(v.type)));
}

/** A sum or a maximum, what attention saves beside its result, and what has fewer elements than the rows it was found from. */
function isStatistic(body: Fn, kind: string, v: Value): boolean {
  const made = producers(body);
  let node = made.get(v);
  let at = v;
  while (node && ["rename", "transpose"].includes(node.op)) {
    at = node.inputs[0]!;
    node = made.get(at);
  }
  if (!node) return false;
  const { fusion } = opRow(node.op);
  if (fusion.kind === "partial" || (fusion.kind === "anchor" && node.op !== "dot")) return true;
  if (fusion.kind === "kernel") return fusion.partial === true || at.type.axes.length < node.outputs[0]!.type.axes.length;
  if (kind !== "rows" && kind !== "reduce") return false;
  // At some batch, to compare sizes with each other.
  const elements = (t: TensorType): number => evaluate(numel(t), 1000);
  const most = Math.max(
    ...body.nodes.flatMap((n) => (opRow(n.op).fusion.kind === "anchor" ? n.inputs : [])).map((x) => elements(x.type)),
  );
  return elements(v.type) < most;
}

const half = (t: TensorType): TensorType => ({ ...t, dtype: "f16" });

/** Bodies for the kinds of operands and results that they are used with. */
class Bodies {
  private readonly made = new Map<string, Fn>();

  constructor(private readonly bodies: ReadonlyMap<string, Fn>) {}

  of(name: string, params: readonly boolean[], results: readonly boolean[]): string {
    if (![...params, ...results].includes(true)) return name;
    const key = [name, ...[params, results].map((mask) => mask.map(Number).join(""))].join("_");
    if (!this.made.has(key)) this.made.set(key, this.make(key, this.bodies.get(name)!, params, results));
    return key;
  }

  private make(name: string, body: Fn, params: readonly boolean[], results: readonly boolean[]): Fn {
    const cast = (from: Value, to: Value): Node => ({
      op: "cast",
      inputs: [from],
      attrs: { dtype: to.type.dtype },
      outputs: [to],
    });
    const before: Node[] = [];
    const after: Node[] = [];
    const narrowedParams = body.params.map((p, i) => {
      if (!params[i]) return p;
      const value: Value = { ...p.value, type: half(p.value.type) };
      before.push(cast(value, p.value));
      return { ...p, value };
    });
    const narrowedResults = body.results.map((r, k) => {
      if (!results[k]) return r;
      const value: Value = { type: half(r.value.type) };
      after.push(cast(r.value, value));
      return { ...r, value };
    });
    return { ...body, name, params: narrowedParams, nodes: [...before, ...body.nodes, ...after], results: narrowedResults };
  }

  /** The bodies that these functions call, in the order of the calls. */
  used(fns: readonly Fn[]): Fn[] {
    const names = new Set(fns.flatMap((fn) => fn.nodes.filter((n) => n.op === REGION).map((n) => n.attrs.body as string)));
    return [...names].map((name) => this.made.get(name) ?? this.bodies.get(name)!);
  }
}

function narrowed(fn: Fn, values: ReadonlySet<Value>, bodies: Bodies): Fn {
  const now = new Map([...values].map((v) => [v, { ...v, type: half(v.type) }] as const));
  const of = (v: Value): Value => now.get(v) ?? v;
  const nodes = fn.nodes.map((node): Node => {
    const inputs = node.inputs.map(of);
    const outputs = node.outputs.map(of);
    if (node.op !== REGION) return { ...node, inputs, outputs };
    const has = (v: Value): boolean => values.has(v);
    const body = bodies.of(node.attrs.body as string, node.inputs.map(has), node.outputs.map(has));
    return { ...node, inputs, outputs, attrs: { ...node.attrs, body } };
  });
  return { ...fn, params: fn.params.map((p) => ({ ...p, value: of(p.value) })), nodes };
}
