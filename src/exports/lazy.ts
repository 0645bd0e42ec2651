/**
 * Which repetitions need not be made. In our graph operands have equal axes and every repetition is an `expand`; ONNX and PyTorch
 * broadcast by position. So an expand, or a constant, that only elementwise ops read, each beside an operand of full shape, is left to
 * them: it is `x[:, None, :]`, or a bare number.
 */
import { type Fn, type Node, producers, readers, type Value } from "../ir/graph.js";
import { opRow } from "../ir/ops/index.js";

const repeats = (node: Node | undefined): boolean => node?.op === "expand" || node?.op === "fill";

/** Values of `expand` and `fill` that their readers broadcast. */
export function lazyValues(fn: Fn): ReadonlySet<Value> {
  const made = producers(fn);
  const readBy = readers(fn);
  const results = new Set(fn.results.map((r) => r.value));
  const broadcasts = (reader: Node): boolean =>
    opRow(reader.op).fusion.kind === "elementwise" && reader.inputs.some((v) => !repeats(made.get(v)));
  const lazy = new Set<Value>();
  for (const node of fn.nodes) {
    const value = node.outputs[0]!;
    if (repeats(node) && !results.has(value) && (readBy.get(value) ?? []).every(broadcasts)) lazy.add(value);
  }
  return lazy;
}
