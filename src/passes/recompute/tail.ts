/** The elementwise end of a kernel: what makes some of its results from its others. */
import type { Fn, Node, Param, Value } from "../../ir/graph.js";
import { opTable } from "../../ir/ops/index.js";

export interface Tail {
  readonly body: Fn;
  /** Results of the whole kernel that the tail reads, in the order of its parameters. */
  readonly given: readonly number[];
}

/** The body that makes the results `wanted` of elementwise work on the other results alone; undefined when there is none. */
export function tailOf(body: Fn, wanted: readonly number[]): Tail | undefined {
  const results = body.results.map((r) => r.value);
  const made = new Map(body.nodes.flatMap((node) => node.outputs.map((v) => [v, node] as const)));
  const inner = new Map<Value, Value>();
  const given: number[] = [];
  const params: Param[] = [];
  const nodes: Node[] = [];
  const visit = (v: Value): boolean => {
    if (inner.has(v)) return true;
    const at = results.indexOf(v);
    if (at >= 0 && !wanted.includes(at)) {
      const value: Value = { type: v.type, name: `x${params.length}` };
      given.push(at);
      params.push({ name: value.name!, kind: "input", value });
      inner.set(v, value);
      return true;
    }
    const node = made.get(v);
    if (!node || opTable.get(node.op)?.fusion.kind !== "elementwise" || !node.inputs.every(visit)) return false;
    const output: Value = { ...v };
    nodes.push({ ...node, inputs: node.inputs.map((x) => inner.get(x)!), outputs: [output] });
    inner.set(v, output);
    return true;
  };
  if (wanted.length === 0 || !wanted.every((k) => visit(results[k]!)) || given.length === 0) return undefined;
  const name = `${body.name}_tail${wanted.join("_")}`;
  return {
    given,
    body: { name, params, nodes, results: wanted.map((k, i) => ({ name: `y${i}`, value: inner.get(results[k]!)! })) },
  };
}
