/**
 * differentiate — replace each `gradient(loss, w…)` by the adjoint nodes of the loss, in reverse order.
 *
 *   %l = sum(%y) {over=[i]}; %g = gradient(%l, %x)   ⇒   %d = expand(fill 1); %g = …vjp of each node between x and l
 *
 * The rules stand in the op table (`vjp`); this file only walks. Contributions to one value are added in reverse program order, so the
 * result is deterministic. A value the loss does not depend on gets zeros.
 */
import { fail, InternalError } from "../diagnostics/diagnostic.js";
import { Builder } from "../ir/builder.js";
import type { Fn, Node, Value } from "../ir/graph.js";
import { add } from "../ir/ops/elementwise.js";
import { opRow } from "../ir/ops/index.js";
import { fill } from "../ir/ops/pointwise.js";
import { mapFns, type Pass } from "./pass.js";

export const differentiate: Pass = {
  name: "differentiate",
  doc: "Replace gradient nodes by the adjoint of the loss, from the vjp rules of the op table.",
  run: (module) => mapFns(module, (fn) => (fn.nodes.some((n) => n.op === "gradient") ? expandGradients(fn) : fn)),
};

function expandGradients(fn: Fn): Fn {
  const out: Node[] = [];
  const renamed = new Map<Value, Value>();
  const now = (v: Value): Value => renamed.get(v) ?? v;
  for (const node of fn.nodes) {
    const inputs = node.inputs.map(now);
    if (node.op !== "gradient") {
      out.push(inputs.every((v, i) => v === node.inputs[i]) ? node : { ...node, inputs });
      continue;
    }
    const [loss, ...wrt] = inputs;
    if (!loss) throw new InternalError("gradient without a loss");
    const b = new Builder();
    const grads = adjoint(b, out, loss, wrt);
    out.push(...b.nodes);
    node.outputs.forEach((v, i) => {
      renamed.set(v, grads[i]!);
    });
  }
  return { ...fn, nodes: out, results: fn.results.map((r) => ({ ...r, value: now(r.value) })) };
}

/** d loss / d wrt, appended to `b`; `nodes` is the program up to here. */
function adjoint(b: Builder, nodes: readonly Node[], loss: Value, wrt: readonly Value[]): Value[] {
  const active = new Set<Value>(wrt);
  for (const node of nodes) if (node.inputs.some((v) => active.has(v))) for (const v of node.outputs) active.add(v);

  const cotangent = new Map<Value, Value>([[loss, fill(b, { value: 1, type: loss.type })]]);
  for (const node of nodes.toReversed()) {
    const output = node.outputs[0]!;
    if (node.outputs.some((v, i) => i > 0 && cotangent.has(v) && active.has(v))) refuse(node, "only its first output has one");
    const dy = cotangent.get(output);
    if (!dy || !active.has(output)) continue;
    const row = opRow(node.op);
    if (typeof row.vjp !== "function") {
      if (row.vjp.refuses) refuse(node, row.vjp.nondifferentiable);
      continue;
    }
    b.loc = node.loc;
    const wanted = node.inputs.map((v) => active.has(v));
    const grads = row.vjp(b, { dy, inputs: node.inputs, output, outputs: node.outputs, wanted }, node.attrs);
    node.inputs.forEach((v, i) => {
      const g = grads[i];
      if (!g || !wanted[i]) return;
      const sofar = cotangent.get(v);
      cotangent.set(v, sofar ? add(b, sofar, g) : g);
    });
  }
  b.loc = undefined;
  return wrt.map((v) => cotangent.get(v) ?? fill(b, { value: 0, type: v.type }));
}

function refuse(node: Node, why: string): never {
  const { loc } = node;
  fail(
    "DIT2003",
    `${node.op} has no gradient: ${why}`,
    loc ? { span: { file: loc.file, line: loc.line, column: loc.column } } : {},
  );
}
