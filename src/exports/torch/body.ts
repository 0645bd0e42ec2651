/**
 * Nodes as lines of Python. A value that the model file holds in a variable, or that is read more than once, becomes a variable; all else
 * is written where it is read. What the language has one word for is put together again: a product and its bias are F.linear, a slice of
 * one element is an index.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Loc, Node, Value } from "../../ir/graph.js";
import { whyAbsent } from "../absent.js";
import { refuseOp } from "../model.js";
import { call, type Expression } from "./expression.js";
import { type Context, forms, isLinear, selected } from "./ops.js";

/** A call of another function in the middle of nodes: its results are named after those of the graph. */
export interface Call {
  readonly values: readonly Value[];
  readonly results: readonly Value[];
  /** What its results are called, where they have no names of their own. */
  readonly hints: readonly (string | undefined)[];
  /** The line, from the texts of the values and the names of the results. */
  line(values: readonly string[], results: readonly string[]): string[];
}

export type Step = Node | Call;
const isCall = (step: Step): step is Call => "line" in step;
const inputsOf = (step: Step): readonly Value[] => (isCall(step) ? step.values : step.inputs);

export interface Body {
  readonly steps: readonly Step[];
  /** Values from outside, as Python says them. */
  readonly given: ReadonlyMap<Value, string>;
  /** Values that are read afterwards. */
  readonly results: readonly Value[];
  readonly lazy: ReadonlySet<Value>;
}

export interface Written {
  readonly lines: readonly string[];
  /** What the results are called. */
  readonly results: readonly string[];
}

/** A longer expression is put into a variable. */
const LONGEST = 88;

const reserved = new Set(
  (
    "False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda " +
    "nonlocal not or pass raise return try while with yield torch F nn w self name device B i attention all time math json copy os"
  ).split(" "),
);

/** A hint as a name of Python: `tEmb` is t_emb. */
export function identifier(hint: string): string {
  const plain = hint
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replaceAll(/\W+/g, "_")
    .replaceAll(/^_+|_+$/g, "")
    .toLowerCase();
  const name = /^[a-z]/.test(plain) ? plain : `v${plain}`;
  return reserved.has(name) ? `${name}_` : name;
}

/** Error: DIT7060 (an op has no form). */
export function writeBody({ steps, given, results, lazy }: Body): Written {
  const known = new Map<Value, Expression>([...given].map(([value, text]) => [value, call(text)]));
  const taken = new Set(given.values());
  const uses = new Map<Value, number>();
  for (const value of [...steps.flatMap(inputsOf), ...results]) uses.set(value, (uses.get(value) ?? 0) + 1);
  const maker = new Map<Value, Node>();
  for (const step of steps) if (!isCall(step)) for (const value of step.outputs) maker.set(value, step);

  const fresh = (hint: string | undefined): string => {
    const wish = hint === undefined ? "v" : identifier(hint);
    let name = hint === undefined ? "v1" : wish;
    for (let n = 2; taken.has(name); n++) name = `${wish}${n}`;
    taken.add(name);
    return name;
  };
  const textOf = (value: Value): Expression => known.get(value) ?? missing();
  const contextOf = (node: Node): Context => ({
    node,
    x: node.inputs.map(textOf),
    types: node.inputs.map((v) => v.type),
    out: node.outputs[0]!.type,
    lazy: lazy.has(node.outputs[0]!),
    constants: node.inputs.map((v) => {
      const made = maker.get(v);
      return made?.op === "fill" && lazy.has(v) ? (made.attrs.value as number) : undefined;
    }),
  });

  const lines: string[] = [];
  let place = "";
  const said = (loc: Loc | undefined): void => {
    const now = loc === undefined ? place : `${loc.file}:${loc.line}`;
    if (now !== place) lines.push(`# ${now}`);
    place = now;
  };
  /** Nodes whose reader writes them itself. */
  const absorbed = new Set<Node>();
  for (const node of maker.values()) {
    const x = node.inputs[0] && maker.get(node.inputs[0]);
    if (node.op === "drop" && x?.op === "slice" && x.attrs.axis === node.attrs.axis && uses.get(node.inputs[0]!) === 1)
      absorbed.add(x);
    const parts = linearParts(node, maker, uses);
    if (parts) for (const part of parts) absorbed.add(part);
  }
  for (const step of steps) {
    if (isCall(step)) {
      const values = step.values.map((v) => textOf(v).text);
      const names = step.results.map((v, i) => fresh(v.name ?? step.hints[i]));
      step.results.forEach((v, i) => {
        known.set(v, call(names[i]!));
      });
      lines.push(...step.line(values, names));
      place = "";
      continue;
    }
    if (absorbed.has(step)) continue;
    if (step.outputs.slice(1).some((v) => uses.has(v))) throw new InternalError(`a second output of ${step.op} is read`);
    const value = step.outputs[0]!;
    if (!uses.has(value)) continue;
    const form = forms[step.op] ?? refuseOp("PyTorch", step, whyAbsent(step.op));
    const linear = linearParts(step, maker, uses);
    const first = step.inputs[0] && maker.get(step.inputs[0]);
    let expression: Expression;
    if (linear) {
      const [product, bias] = linear;
      const parts = [...product.inputs, bias.inputs[0]!].map((v) => textOf(v).text);
      expression = call(`F.linear(${parts.join(", ")})`);
    } else if (step.op === "drop" && first && absorbed.has(first)) expression = selected(contextOf(first));
    else expression = form(contextOf(step));
    const small = lazy.has(value) || (uses.get(value) === 1 && value.name === undefined && expression.text.length <= LONGEST);
    if (small || given.get(step.inputs[0]!) === expression.text) {
      known.set(value, expression);
      continue;
    }
    said(step.loc);
    const name = fresh(value.name);
    lines.push(`${name} = ${expression.text}`);
    known.set(value, call(name));
  }
  return { lines, results: results.map((v) => textOf(v).text) };
}

/** The product and the repeated bias behind a sum, where the three are F.linear. */
function linearParts(
  node: Node,
  maker: ReadonlyMap<Value, Node>,
  uses: ReadonlyMap<Value, number>,
): readonly [Node, Node] | undefined {
  if (node.op !== "add") return undefined;
  for (const [a, b] of [node.inputs, node.inputs.toReversed()] as [Value, Value][]) {
    const [product, bias] = [maker.get(a), maker.get(b)];
    if (product?.op !== "dot" || bias?.op !== "expand" || uses.get(a) !== 1 || uses.get(b) !== 1) continue;
    const axes = bias.inputs[0]!.type.axes;
    const columns = product.inputs[1]!.type.axes[0];
    if (isLinear(product) && axes.length === 1 && axes[0] === columns && node.outputs[0]!.type.axes.at(-1) === columns)
      return [product, bias];
  }
  return undefined;
}

function missing(): never {
  throw new InternalError("a value is read before it is made");
}
