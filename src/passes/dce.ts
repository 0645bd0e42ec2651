/**
 * dce — drop nodes nobody reads. Parameters stay: they are the function's interface.
 *
 *   %a = exp(%x); %b = neg(%x); return out=%b   ⇒   %b = neg(%x); return out=%b
 *
 * In the kernel stage, bodies that no region calls go too.
 */
import type { Fn, Module, Node, Value } from "../ir/graph.js";
import { isBody, REGION } from "../ir/region.js";
import { mapFns, type Pass } from "./pass.js";

export const dce: Pass = {
  name: "dce",
  doc: "Drop nodes whose results are never read.",
  run: (module) => dropBodies(mapFns(module, dropNodes)),
};

function dropNodes(fn: Fn): Fn {
  const live = new Set<Value>(fn.results.map((r) => r.value));
  const kept: Node[] = [];
  for (const node of fn.nodes.toReversed()) {
    if (!node.outputs.some((v) => live.has(v))) continue;
    for (const v of node.inputs) live.add(v);
    kept.push(node);
  }
  return kept.length === fn.nodes.length ? fn : { ...fn, nodes: kept.reverse() };
}

function dropBodies(module: Module): Module {
  if (module.stage !== "kernel") return module;
  const called = new Set(module.fns.flatMap((fn) => fn.nodes.filter((n) => n.op === REGION).map((n) => n.attrs.body)));
  const fns = module.fns.filter((fn) => !isBody(fn) || called.has(fn.name));
  return fns.length === module.fns.length ? module : { ...module, fns };
}
