/** What a dispatch is called: in WebGPU's labels, errors, profiles and reports. */
import type { Fn, Loc, Node } from "../ir/graph.js";
import { opRow } from "../ir/ops/index.js";

/** How the labels of dispatches begin that take the second stage of sums. */
export const SECOND_STAGE = "second stage:";

const place = (loc: Loc | undefined): string => (loc ? ` @ ${loc.file}:${loc.line}:${loc.column}` : "");

/** "dot scores @ dit.graph.ts:41:12". A map with a sum takes the second stage of what other kernels began. */
export function labelOf(node: Node, body: Fn): string {
  const names = node.outputs.map((v) => v.name).filter((n) => n !== undefined);
  return `${whatIs(node, body)}${names.length > 0 ? ` ${names.join(", ")}` : ""}${place(node.loc)}`;
}

function whatIs(node: Node, body: Fn): string {
  if (node.attrs.kind !== "map") {
    const main = body.nodes.find((n) => ["anchor", "kernel"].includes(opRow(n.op).fusion.kind));
    return main?.op ?? body.nodes.find((n) => opRow(n.op).fusion.kind === "partial")?.op ?? "region";
  }
  const last = body.nodes.at(-1)?.op ?? "copy";
  return body.nodes.some((n) => n.op === "sum") ? `${SECOND_STAGE} ${last}` : last;
}
