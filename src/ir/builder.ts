/** Builds one function: appends nodes, infers their types, stamps the current place in the model file on each. */
import { type Diagnostic, DitError } from "../diagnostics/diagnostic.js";
import type { Attrs, Fn, Loc, Node, Param, ParamKind, Result, Value } from "./graph.js";
import { opRow } from "./ops/index.js";
import type { Emit } from "./ops/op.js";
import { printType, type TensorType } from "./types.js";

export class Builder implements Emit {
  readonly nodes: Node[] = [];
  readonly params: Param[] = [];
  /** Stamped on every node appended from now on. */
  loc: Loc | undefined;
  private readonly names = new Map<Value, string>();

  param(name: string, kind: ParamKind, type: TensorType): Value {
    const value: Value = { type, name };
    this.params.push({ name, kind, value });
    return value;
  }

  emit(op: string, inputs: readonly Value[], attrs: Attrs): readonly Value[] {
    const row = opRow(op);
    const inferred = row.infer(
      inputs.map((v) => v.type),
      attrs,
    );
    if (typeof inferred === "string") throw new DitError(shapeProblem(op, inferred, inputs, this.loc));
    const types = Array.isArray(inferred) ? (inferred as readonly TensorType[]) : [inferred as TensorType];
    const node: Node = { op, inputs, attrs, outputs: types.map((type) => ({ type })), ...(this.loc ? { loc: this.loc } : {}) };
    this.nodes.push(node);
    return node.outputs;
  }

  /** d loss / d wrt for each of `wrt`: one node, which the differentiate pass replaces. The loss is a scalar f32. */
  gradient(loss: Value, wrt: readonly Value[]): readonly Value[] {
    if (loss.type.axes.length > 0 || loss.type.dtype !== "f32") {
      throw new DitError(shapeProblem("gradient", "needs a loss without axes, of dtype f32", [loss], this.loc));
    }
    const outputs = wrt.map((v): Value => ({ type: v.type, ...(v.name ? { name: `d.${v.name}` } : {}) }));
    this.nodes.push({ op: "gradient", inputs: [loss, ...wrt], attrs: {}, outputs, ...(this.loc ? { loc: this.loc } : {}) });
    return outputs;
  }

  /** Gives a value the name of the variable that holds it, for printing. The first name stays. */
  hint(value: Value, name: string): void {
    if (!value.name && !this.names.has(value)) this.names.set(value, name);
  }

  finish(name: string, results: readonly Result[]): Fn {
    for (const [value, hint] of this.names) Object.assign(value, { name: hint });
    return { name, params: this.params, nodes: this.nodes, results };
  }
}

function shapeProblem(op: string, problem: string, inputs: readonly Value[], loc: Loc | undefined): Diagnostic {
  return {
    code: "DIT2001",
    message: `${op}: ${problem}`,
    notes: inputs.map((v, i) => `operand ${i + 1} is ${printType(v.type)}${v.name ? ` (${v.name})` : ""}`),
    ...(loc ? { span: { file: loc.file, line: loc.line, column: loc.column } } : {}),
  };
}
