/** A forward pass as an ONNX graph: one walk over the nodes, each by its form in ops.ts. */
import type { Fn, Value } from "../../ir/graph.js";
import type { TensorType } from "../../ir/types.js";
import { B, printSize, sameSize } from "../../program/size.js";
import { whyAbsent } from "../absent.js";
import { lazyValues } from "../lazy.js";
import { refuseOp } from "../model.js";
import { GraphBuilder } from "./graph.js";
import { forms, typesOf } from "./ops.js";
import type { OnnxGraph, OnnxPort, OnnxTensor } from "./proto.js";

/** What the function reads besides its inputs, as constants of the file. */
export type Constants = (name: string, type: TensorType) => Omit<OnnxTensor, "name">;

/** Error: DIT7060 (an op has no form). */
export function onnxGraph(title: string, fn: Fn, constants: Constants): OnnxGraph {
  const g = new GraphBuilder();
  const named = new Map<Value, string>();
  const lazy = lazyValues(fn);
  const read = new Set([...fn.nodes.flatMap((node) => node.inputs), ...fn.results.map((r) => r.value)]);

  // Names that others go by come first, so that nothing else takes them.
  for (const { name } of [...fn.results, ...fn.params]) g.name(name);
  for (const { name, kind, value } of fn.params) {
    named.set(value, name);
    if (kind !== "input") {
      g.tensors.set(name, { name, ...constants(name, value.type) });
      continue;
    }
    const axis = value.type.shape.findIndex((size) => sameSize(size, B));
    if (axis >= 0) g.batchIs(name, axis);
  }
  for (const node of fn.nodes) {
    const form = forms[node.op] ?? refuseOp("ONNX", node, whyAbsent(node.op));
    g.loc = node.loc;
    const made = form({
      g,
      node,
      x: node.inputs.map((v) => named.get(v)!),
      types: typesOf(node.inputs),
      out: node.outputs[0]!.type,
      lazy: lazy.has(node.outputs[0]!),
      wants: (output) => read.has(node.outputs[output]!),
    });
    const outputs = typeof made === "string" ? [made] : made;
    node.outputs.forEach((value, i) => {
      named.set(value, outputs[i]!);
    });
  }
  g.loc = undefined;
  for (const { name, value } of fn.results) {
    g.nodes.push({ op: "Identity", inputs: [named.get(value)!], outputs: [name], attributes: {} });
  }
  return {
    name: title,
    nodes: g.nodes,
    tensors: [...g.tensors.values()],
    inputs: fn.params.filter((p) => p.kind === "input").map((p) => port(p.name, p.value.type)),
    outputs: fn.results.map((r) => port(r.name, r.value.type)),
  };
}

/** Sizes that depend on the batch get a name: the axis', where it is the batch itself, else the formula. */
const port = (name: string, { dtype, axes, shape }: TensorType): OnnxPort => ({
  name,
  dtype,
  shape: shape.map((size, i) => (typeof size === "number" ? size : sameSize(size, B) ? axes[i]! : printSize(size))),
});
