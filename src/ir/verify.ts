/**
 * The law of the IR: what every module must satisfy at its stage, checked after each pass in tests and wherever a module is made from
 * outside. A violation is a bug of ours, so it throws an InternalError that names the function, the node and the rule.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import { parseSize, printSize } from "../program/size.js";
import type { AttrKinds, AttrValue, Fn, Module, Node, Stage, Value } from "./graph.js";
import { opTable } from "./ops/index.js";
import { nameValues, printNode, printType } from "./print.js";
import { bodyOf, GRADIENT, isBody, REGION, type RegionKind, regionKinds, schemaOf } from "./region.js";
import { dtypes, sameType, type TensorType } from "./types.js";

/** Throws unless `module` obeys the rules of `stage` (its own by default). `when` says what was done before: "after dce". */
export function verify(module: Module, stage: Stage = module.stage, when = ""): void {
  const problem = problemOf(module, stage);
  if (problem) throw new InternalError(`${when ? `${when}: ` : ""}${problem}`);
}

/** The first rule that is broken, as a sentence; undefined when all hold. */
export function problemOf(module: Module, stage: Stage = module.stage): string | undefined {
  if (module.stage !== stage) return `the module is at stage ${module.stage}, expected ${stage}`;
  const twice = repeated(module.fns.map((fn) => fn.name));
  if (twice !== undefined) return `two functions are called @${twice}`;
  for (const fn of module.fns) {
    const problem = problemOfFn(module, fn, stage);
    if (problem) return `fn @${fn.name}: ${problem}`;
  }
  return undefined;
}

function problemOfFn(module: Module, fn: Fn, stage: Stage): string | undefined {
  const twice = repeated(fn.params.map((p) => p.name));
  if (twice !== undefined) return `two parameters are called "${twice}"`;
  const defined = new Set<Value>();
  for (const p of fn.params) {
    if (defined.has(p.value)) return `parameter "${p.name}" shares its value with another`;
    const problem = problemOfType(p.value.type);
    if (problem) return `parameter "${p.name}": ${problem}`;
    if (stage === "kernel" && !isBody(fn) && p.value.type.dtype === "f16" && p.kind !== "parameter")
      return `${p.kind} "${p.name}" is f16; only weights that nothing trains may be`;
    defined.add(p.value);
  }
  for (const node of fn.nodes) {
    const problem =
      (node.inputs.every((v) => defined.has(v))
        ? undefined
        : `operand ${node.inputs.findIndex((v) => !defined.has(v)) + 1} is not defined before it`) ??
      (node.outputs.length === 0 ? "has no outputs" : undefined) ??
      (node.outputs.some((v, i) => defined.has(v) || node.outputs.indexOf(v) < i)
        ? "defines a value a second time"
        : undefined) ??
      (stage === "kernel" && !isBody(fn) ? problemOfKernel(module, node) : problemOfOp(node, stage)) ??
      (stage === "kernel" && isBody(fn) ? problemOfHalves(fn, node) : undefined);
    if (problem) return `${printNode(node, nameValues(fn))}: ${problem}`;
    for (const v of node.outputs) defined.add(v);
  }
  return problemOfResults(fn, stage, defined);
}

/** Kernels compute in f32: f16 is how operands and results may lie in memory, and a cast at the edge of a body is all that knows of it. */
function problemOfHalves(fn: Fn, node: Node): string | undefined {
  const halves = (values: readonly Value[]) => values.filter((v) => v.type.dtype === "f16");
  const [read, made] = [halves(node.inputs), halves(node.outputs)];
  const atEdge =
    read.every((v) => fn.params.some((p) => p.value === v)) && made.every((v) => fn.results.some((r) => r.value === v));
  if (read.length + made.length === 0 || (node.op === "cast" && atEdge)) return undefined;
  return "computes in f16; f16 may only be what a body's operand is cast from, or its result cast to";
}

function problemOfResults(fn: Fn, stage: Stage, defined: ReadonlySet<Value>): string | undefined {
  const twice = repeated(fn.results.map((r) => r.name));
  if (twice !== undefined) return `two results are called "${twice}"`;
  for (const result of fn.results) {
    if (!defined.has(result.value)) return `result "${result.name}" is not defined`;
    const state = fn.params.find((p) => p.name === result.name);
    if (stage === "kernel" && !isBody(fn) && result.value.type.dtype === "f16")
      return `result "${result.name}" is f16; callers see f32`;
    if (state && !sameType(state.value.type, result.value.type)) {
      return `result "${result.name}" is ${printType(result.value.type)}, but the parameter it is the next value of is ${printType(state.value.type)}`;
    }
  }
  return undefined;
}

/** A node of the op table: operand count, attributes, and the types that inference gives. */
function problemOfOp(node: Node, stage: Stage): string | undefined {
  if (node.op === GRADIENT && stage === "graph") return problemOfGradient(node);
  const row = opTable.get(node.op);
  if (!row)
    return node.op === REGION
      ? "a region may stand only in an entry function of the kernel stage"
      : `there is no op "${node.op}"`;
  if (row.operands !== "variadic" && row.operands.length !== node.inputs.length) {
    return `takes ${row.operands.length} operands (${row.operands.join(", ")}), found ${node.inputs.length}`;
  }
  if (row.stage !== "both" && row.stage !== stage) return `"${node.op}" belongs to the ${row.stage} stage`;
  const problem = problemOfAttrs(node);
  if (problem) return problem;
  const inferred = row.infer(
    node.inputs.map((v) => v.type),
    node.attrs as never,
  );
  if (typeof inferred === "string") return inferred;
  return problemOfOutputs(node, "dtype" in inferred ? [inferred] : inferred, "the op gives");
}

function problemOfGradient(node: Node): string | undefined {
  const [loss, ...values] = node.inputs.map((v) => v.type);
  if (loss?.dtype !== "f32" || loss.axes.length > 0) return `the loss is ${loss ? printType(loss) : "missing"}, expected f32[]`;
  return problemOfAttrs(node) ?? problemOfOutputs(node, values, "there are values for");
}

/** What names a place in memory and is no kernel: of one value, of parts stored side by side (concat), of a part (slice). */
const aliases = ["rename", "split", "merge", "drop", "transpose", "expand", "concat", "slice"];

/** A node of an entry function in the kernel stage: a region or an alias. */
function problemOfKernel(module: Module, node: Node): string | undefined {
  if (aliases.includes(node.op)) return problemOfOp(node, "kernel");
  if (node.op !== REGION)
    return `"${node.op}" is no kernel: an entry function of the kernel stage has regions and ${aliases.join(", ")}`;
  const problem = problemOfAttrs(node);
  if (problem) return problem;
  const kind = regionKinds.find((k) => k === node.attrs.kind);
  if (!kind) return `unknown kind "${String(node.attrs.kind)}": ${regionKinds.join(", ")}`;
  const body = bodyOf(module, node);
  if (!body) return `there is no function @${String(node.attrs.body)}`;
  if (!isBody(body)) return `@${body.name} is an entry function; the name of a body starts with "region"`;
  if (body.params.length !== node.inputs.length)
    return `@${body.name} takes ${body.params.length} operands, found ${node.inputs.length}`;
  const odd = node.inputs.findIndex((v, i) => !sameType(v.type, body.params[i]!.value.type));
  if (odd >= 0) {
    return `operand ${odd + 1} is ${printType(node.inputs[odd]!.type)}, but @${body.name} takes ${printType(body.params[odd]!.value.type)}`;
  }
  const misfit = problemOfBody(kind, body);
  if (misfit) return misfit;
  return problemOfOutputs(
    node,
    body.results.map((r) => r.value.type),
    `@${body.name} gives`,
  );
}

/** What each kind of kernel is built around. */
const anchorsOf: Record<
  RegionKind,
  { readonly says: string; readonly fits: (dots: number, sums: number, own: number, partial: number) => boolean }
> = {
  map: { says: "no dot and no op of its own family", fits: (dots, _sums, own) => dots + own === 0 },
  reduce: { says: "exactly one anchor", fits: (dots, sums, own) => dots + own === 0 && sums === 1 },
  dot: { says: "exactly one dot", fits: (dots, _sums, own) => dots === 1 && own === 0 },
  rows: { says: "reductions and no dot", fits: (dots, sums, own, partial) => dots + own === 0 && sums + partial > 0 },
  op: { says: "exactly one op of its own family", fits: (dots, sums, own) => dots + sums === 0 && own === 1 },
};

function problemOfBody(kind: RegionKind, body: Fn): string | undefined {
  const fusion = (n: Node) => opTable.get(n.op)?.fusion.kind;
  const anchors = body.nodes.filter((n) => fusion(n) === "anchor" || fusion(n) === "kernel");
  const dots = anchors.filter((n) => n.op === "dot").length;
  const own = anchors.filter((n) => fusion(n) === "kernel").length;
  const { says, fits } = anchorsOf[kind];
  if (fits(dots, anchors.length - dots - own, own, body.nodes.filter((n) => fusion(n) === "partial").length)) return undefined;
  const found = anchors.length === 0 ? "none" : anchors.map((n) => n.op).join(", ");
  return `the body of a ${kind} has ${says}, @${body.name} has ${found}`;
}

function problemOfOutputs(node: Node, types: readonly TensorType[], giver: string): string | undefined {
  if (types.length !== node.outputs.length) return `has ${node.outputs.length} outputs, ${giver} ${types.length}`;
  const odd = types.findIndex((type, i) => !sameType(type, node.outputs[i]!.type));
  return odd < 0 ? undefined : `output ${odd + 1} is ${printType(node.outputs[odd]!.type)}, ${giver} ${printType(types[odd]!)}`;
}

function problemOfAttrs(node: Node): string | undefined {
  const schema = schemaOf(node.op)!;
  const extra = Object.keys(node.attrs).find((key) => !(key in schema));
  if (extra !== undefined) return `has no attribute "${extra}"`;
  for (const [key, kind] of Object.entries(schema)) {
    const value = node.attrs[key];
    if (value === undefined) return `attribute "${key}" is missing`;
    if (!fitsKind[kind](value)) return `attribute "${key}" is not of kind ${kind}`;
  }
  return undefined;
}

const isSize = (value: unknown): boolean =>
  typeof value === "number"
    ? Number.isSafeInteger(value)
    : // Only the canonical form survives printing: no trailing zeros, integers throughout.
      Array.isArray(value) &&
      value.length > 1 &&
      value.at(-1) !== 0 &&
      value.every(Number.isSafeInteger) &&
      parseSize(printSize(value)) !== undefined;

const fitsKind: Record<keyof AttrKinds, (value: AttrValue) => boolean> = {
  num: (v) => typeof v === "number",
  int: (v) => Number.isSafeInteger(v) && !Object.is(v, -0),
  bool: (v) => typeof v === "boolean",
  str: (v) => typeof v === "string",
  names: (v) => Array.isArray(v) && v.every((name) => typeof name === "string"),
  sizes: (v) => Array.isArray(v) && v.every(isSize),
  dtype: (v) => dtypes.some((d) => d === v),
  type: (v) => typeof v === "object" && "dtype" in v && problemOfType(v) === undefined,
  fn: (v) => typeof v === "string",
};

function problemOfType(t: TensorType): string | undefined {
  if (t.axes.length !== t.shape.length) return `its type has ${t.axes.length} axes and ${t.shape.length} sizes`;
  const twice = repeated(t.axes);
  if (twice !== undefined) return `axis "${twice}" stands twice in ${printType(t)}`;
  return t.shape.every(isSize) ? undefined : `a size in ${printType(t)} is no whole number or polynomial of B`;
}

const repeated = (names: readonly string[]): string | undefined => names.find((name, i) => names.indexOf(name) !== i);
