// A fused product with the squares of its result added up beside it: lowering asks for that, no pass does.
import { withSquares } from "../../src/codegen/riding-squares.js";
import type { Module } from "../../src/ir/graph.js";
import { bodyOf, REGION } from "../../src/ir/region.js";

/** The one region of `main` has one result, of known size. */
export function squared(module: Module): Module {
  const main = module.fns.find(({ name }) => name === "main")!;
  const node = main.nodes.find(({ op }) => op === REGION)!;
  const body = bodyOf(module, node)!;
  const [rows, columns] = body.results[0]!.value.type.shape as readonly [number, number];
  // A part for each tile of 16 × 16, and some more.
  const made = withSquares(body, { of: 0, parts: Math.ceil(rows / 16) * Math.ceil(columns / 16) + 3 });
  const value = { type: made.results.at(-1)!.value.type };
  const moved = { ...node, outputs: [...node.outputs, value] };
  const fn = {
    ...main,
    nodes: main.nodes.map((n) => (n === node ? moved : n)),
    results: [...main.results, { name: "squares", value }],
  };
  return { ...module, fns: module.fns.map((f) => (f === main ? fn : f === body ? made : f)) };
}
