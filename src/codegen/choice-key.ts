/**
 * What a choice between a family's ways is remembered by: the work of one dispatch as a line that a person can read, with a few letters of
 * a hash for what the line leaves out. The same work has the same key in every model, at the batch that the choice is made for.
 */
import { createHash } from "node:crypto";
import type { Fn } from "../ir/graph.js";
import { opRow } from "../ir/ops/index.js";
import { fnKey } from "../ir/same.js";
import { evaluate, product, type Size } from "../program/size.js";
import { coefficient } from "./index-math.js";
import type { MatmulShape } from "./kernels/matmul-plan.js";
import type { Region } from "./region.js";
import { hasHalves } from "./stored.js";

/** Where in its operand a slice begins is no work: blocks that differ in nothing else are the same. */
const withoutPlaces = (text: string): string => text.replaceAll(/\b(from|to)=\d+/g, "$1");

/** A sum of squares that is stored beside the product changes nothing about which design is good. */
function withoutSquares(body: Fn): Fn {
  const squares = body.nodes.filter(({ op }) => op === "sum_of_squares");
  if (squares.length === 0) return body;
  const results = body.results.filter(({ value }) => !squares.some(({ outputs }) => outputs[0] === value));
  return { ...body, nodes: body.nodes.filter((n) => !squares.includes(n)), results };
}

/** "matmul 128x1152x384 nt + gelu #1f0c9a2e": rows, columns and terms at the region's batch, how A and B lie, and what follows. */
export function matmulKey({ body: whole, batch, bindings }: Region, { m, n, k, a, b, batch: outer }: MatmulShape): string {
  const body = withoutSquares(whole);
  const at = (size: Size): number => evaluate(size, batch);
  const products = at(product(outer.map((l) => l.range)));
  const form = `${coefficient(a, k.name) === 1 ? "n" : "t"}${coefficient(b, k.name) === 1 ? "t" : "n"}`;
  const after = body.nodes
    .filter(({ op }) => op !== "dot" && op !== "fill" && opRow(op).fusion.kind !== "view")
    .map(({ op }) => op);
  return [
    `matmul ${[m, n, k].map((l) => at(l.range)).join("x")}`,
    ...(products > 1 ? [`of ${products}`] : []),
    form,
    ...(hasHalves(bindings) ? ["f16"] : []),
    ...(after.length > 0 ? [`+ ${[...new Set(after)].join(" ")}`] : []),
    `#${createHash("sha256")
      .update(withoutPlaces(fnKey(body)))
      .update(hasHalves(bindings) ? bindings.map(({ dtype, packed }) => (packed ? "packed" : dtype)).join() : "")
      .digest("hex")
      .slice(0, 8)}`,
  ].join(" ");
}
