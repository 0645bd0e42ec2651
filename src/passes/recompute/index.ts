/**
 * recompute — values that would lie in memory from the forward to the backward are computed again where the backward wants them.
 *
 *   %a = region(%x) @exp; …; %z = region(%a, %g) @grad    ⇒   %a = region(%x) @exp; …; %a.1 = region(%x) @exp; %z = region(%a.1, %g) @grad
 *
 * The same kernel runs again on the same inputs, right before its first late reader, so every bit stays; %a dies with its last early
 * reader. What the second run reads may be computed again itself. Of a kernel with several results, those that follow from its others by
 * elementwise work (GELU, from the product that is stored anyway) are made by that work alone. Which values, says the option; who knows
 * the plan of the memory chooses them (choose.ts). Without the option the module is left alone.
 */
import type { Fn, Module, Node, Value } from "../../ir/graph.js";
import { REGION, regionAttrs } from "../../ir/region.js";
import { mapFns, type Pass } from "../pass.js";
import { tailOf } from "./tail.js";

/** Values of one function that its later nodes compute again. */
export interface Recomputation {
  /** Position of the first node that reads what is computed again; those before it read the first value. */
  readonly from: number;
  /** Each the position of a region before `from`, and which of its outputs. */
  readonly values: readonly (readonly [node: number, output: number])[];
}

export const recompute: Pass = {
  name: "recompute",
  doc: "Compute chosen values of the forward again before the backward reads them, so that they need not stay in memory.",
  run: (module, options) => {
    const { recompute: chosen } = options;
    if (!chosen || module.stage !== "kernel") return module;
    const known = bodiesOf(module);
    const bodies = new Map<string, Fn>();
    const after = mapFns(module, (fn) => {
      const choice = Object.hasOwn(chosen, fn.name) ? chosen[fn.name]! : undefined;
      if (!choice || choice.values.length === 0) return fn;
      const made = computedAgain(known, fn, choice);
      for (const body of made.bodies) bodies.set(body.name, body);
      return made.again.length === 0 ? fn : made.fn;
    });
    return bodies.size === 0 ? after : { ...after, fns: [...after.fns, ...bodies.values()] };
  },
};

export interface ComputedAgain {
  readonly fn: Fn;
  /** The regions that were added, and the bodies that the module lacks for them. */
  readonly again: readonly Node[];
  readonly bodies: readonly Fn[];
}

/** The functions of a module by name. */
export const bodiesOf = (module: Module): ReadonlyMap<string, Fn> => new Map(module.fns.map((fn) => [fn.name, fn]));

/** `fn` with the chosen values computed again, each once, as late as its first late reader allows. */
export function computedAgain(known: ReadonlyMap<string, Fn>, fn: Fn, { from, values }: Recomputation): ComputedAgain {
  const chosen = new Set(values.map(([node, output]) => fn.nodes[node]!.outputs[output]!));
  const early = new Map<Value, Node>();
  for (const node of fn.nodes.slice(0, from)) for (const v of node.outputs) early.set(v, node);
  const nodes = fn.nodes.slice(0, from);
  const again: Node[] = [];
  const bodies: Fn[] = [];
  const now = new Map<Value, Value>();
  const late = (v: Value): Value => {
    const node = early.get(v);
    if (node && !now.has(v)) visit(node, v);
    return now.get(v) ?? v;
  };
  /** The node with fresh outputs, in place of `replaced` from here on. */
  const add = (node: Node, replaced: readonly Value[]): void => {
    const outputs = node.outputs.map((v): Value => ({ ...v }));
    const copy = { ...node, outputs };
    nodes.push(copy);
    if (node.op === REGION) again.push(copy);
    for (const v of replaced) now.set(v, outputs[node.outputs.indexOf(v)]!);
  };
  const visit = (node: Node, v: Value): void => {
    if (node.op !== REGION) {
      const inputs = node.inputs.map(late);
      // A view of what stays where it is stays too.
      if (inputs.some((x, k) => x !== node.inputs[k])) add({ ...node, inputs }, node.outputs);
      return;
    }
    if (!chosen.has(v)) return;
    const wanted = node.outputs.filter((o) => chosen.has(o));
    const tail = tailOf(
      known.get(String(node.attrs.body))!,
      wanted.map((o) => node.outputs.indexOf(o)),
    );
    if (tail) {
      bodies.push(tail.body);
      const inputs = tail.given.map((k) => node.outputs[k]!);
      add({ ...node, inputs, attrs: regionAttrs(tail.body.name, "map"), outputs: wanted }, wanted);
    } else add({ ...node, inputs: node.inputs.map(late) }, wanted);
  };
  for (const node of fn.nodes.slice(from)) {
    const inputs = node.inputs.map(late);
    nodes.push(inputs.every((v, k) => v === node.inputs[k]) ? node : { ...node, inputs });
  }
  return { fn: { ...fn, nodes }, again, bodies };
}
