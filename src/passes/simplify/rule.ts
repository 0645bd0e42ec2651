/** What a rewrite rule is, and what it sees: the nodes that stand before the one it looks at. */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Attrs, Node, Value } from "../../ir/graph.js";
import { opRow } from "../../ir/ops/index.js";
import type { Emit } from "../../ir/ops/op.js";
import type { PassOptions } from "../pass.js";

export interface Rule {
  /** Says what it does: `x + 0 → x`. */
  readonly name: string;
  /** The ops it looks at; undefined for any. */
  readonly ops?: readonly string[];
  /** The value that takes the place of the node's output, or undefined when the rule does not apply. */
  readonly apply: (r: Rewriter, node: Node) => Value | undefined;
}

/** Emits nodes in the place of one node: they take its place in the model file, and the last of them its name. */
export class Rewriter implements Emit {
  private readonly producers = new Map<Value, Node>();
  private out: Node[] = [];
  private at: Node | undefined;

  constructor(readonly options: PassOptions) {}

  /** Starts work on `node`; what is emitted goes to `out`. */
  begin(node: Node, out: Node[]): void {
    this.at = node;
    this.out = out;
  }

  keep(node: Node): void {
    for (const v of node.outputs) this.producers.set(v, node);
  }

  /** The node that makes `v`, if it is one of these ops. */
  made(v: Value | undefined, ...ops: readonly string[]): Node | undefined {
    const node = v && this.producers.get(v);
    return node && ops.includes(node.op) ? node : undefined;
  }

  /** The number that `v` holds everywhere, when it is a fill. */
  constant(v: Value | undefined): number | undefined {
    const value = this.made(v, "fill")?.attrs.value;
    return typeof value === "number" ? value : undefined;
  }

  emit(op: string, inputs: readonly Value[], attrs: Attrs): readonly Value[] {
    const inferred = opRow(op).infer(
      inputs.map((v) => v.type),
      attrs as never,
    );
    if (typeof inferred === "string") throw new InternalError(`simplify made a wrong ${op}: ${inferred}`);
    const name = this.at?.outputs[0]?.name;
    const types = "dtype" in inferred ? [inferred] : inferred;
    const outputs = types.map((type): Value => (name ? { type, name } : { type }));
    const node: Node = { op, inputs, attrs, outputs, ...(this.at?.loc ? { loc: this.at.loc } : {}) };
    this.out.push(node);
    this.keep(node);
    return outputs;
  }
}
