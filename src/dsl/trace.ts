/**
 * Tracing: running a model's functions once to record what they do. While `trace` runs its callback, every call of the language
 * appends nodes to one function of the IR; numbers and loops of the host language disappear. Parameters and tables are declared
 * where they are used: the first use of a name declares it, later ones share it, and the order of first uses is the order of
 * the state dict.
 */
import { DitError } from "../diagnostics/diagnostic.js";
import { Builder } from "../ir/builder.js";
import type { Attrs, Fn, ParamKind, Value } from "../ir/graph.js";
import { printType, sameType, type TensorType } from "../ir/types.js";
import type { Init } from "./init.js";
import { currentSite, refuse, spanOf } from "./sites.js";

/** A parameter as a model declares it. */
export interface ParamDecl {
  readonly name: string;
  readonly type: TensorType;
  readonly init: Init;
  readonly trainable: boolean;
}

export interface Traced {
  readonly fn: Fn;
  /** In order of first use, which is the order of the state dict. */
  readonly params: readonly ParamDecl[];
  /** Constants computed when compiling, by name; row-major. */
  readonly tables: ReadonlyMap<string, Float64Array>;
}

export interface TraceOptions {
  /** "inputs": random draws become inputs of their names, so that a test can hand them in. */
  readonly draws?: "generated" | "inputs";
  /** "state": weights are carried from call to call under `p.<name>`, as a training step needs; default: read-only parameters. */
  readonly weights?: "parameter" | "state";
}

/** Anything that holds a value of the graph: a tensor of any axes and dtype. */
export interface Holds {
  readonly value: Value;
}

/** A hundred times what the largest models have: more comes from a loop that does not end. */
const MOST_VALUES = 500_000;

class Trace {
  readonly builder = new Builder();
  readonly params = new Map<string, ParamDecl>();
  readonly tables = new Map<string, Float64Array>();
  readonly declared = new Map<string, { readonly kind: ParamKind; readonly value: Value }>();
  /** Values of this trace, with the variable that holds each, for messages. */
  readonly names = new Map<Value, string | undefined>();

  constructor(readonly options: TraceOptions) {}
}

let current: Trace | undefined;

function running(what: string): Trace {
  return (
    current ??
    refuse("DIT1201", `${what} was called while no graph is being built`, {
      help: "tensors exist inside forward and the functions it calls; move this call there",
    })
  );
}

/** Records `build` as one function of the IR; its results are the tensors that `build` returns, by name. */
export function trace(name: string, build: () => Readonly<Record<string, Holds>>, options: TraceOptions = {}): Traced {
  const outer = current;
  const mine = new Trace(options);
  current = mine;
  try {
    const results = Object.entries(checkedResults(name, build())).map(([result, held]) => {
      const value = held?.value;
      if (!value || !mine.names.has(value)) {
        refuse("DIT1202", `${name}: result "${result}" is not a tensor of this graph`, { help: RESULTS });
      }
      return { name: result, value };
    });
    return { fn: mine.builder.finish(name, results), params: [...mine.params.values()], tables: mine.tables };
  } finally {
    current = outer;
  }
}

const RESULTS = "return tensors by name, made in this call: { out: x }";

/** Code that was not type-checked returns anything. */
function checkedResults(name: string, results: Readonly<Record<string, Holds>>): Readonly<Record<string, Holds>> {
  const found =
    typeof results !== "object" || results === null
      ? String(results)
      : results instanceof Promise
        ? "a promise"
        : Object.keys(results).length === 0
          ? "no results"
          : undefined;
  return found === undefined
    ? results
    : refuse("DIT1202", `${name}: expected tensors by name, it returned ${found}`, { help: RESULTS });
}

export const drawsAreInputs = (): boolean => current?.options.draws === "inputs";

/** Appends one node at the running call site. What the op's own rule refuses becomes a diagnostic with place and shapes. */
export const emit = (op: string, inputs: readonly Value[], attrs: Attrs = {}, help?: string): Value =>
  emitAll(op, inputs, attrs, help)[0]!;

/** The same, for a node with several outputs. */
export function emitAll(op: string, inputs: readonly Value[], attrs: Attrs = {}, help?: string): readonly Value[] {
  const mine = running(op);
  if (mine.names.size >= MOST_VALUES) {
    refuse("DIT1207", `${op}: this graph has ${MOST_VALUES} values already`, {
      help: "loops and recursion of a model file run while it is traced, and must end",
    });
  }
  for (const value of inputs) {
    if (!mine.names.has(value)) {
      refuse("DIT1203", `${op}: an operand, ${printType(value.type)}, was made for another graph`, {
        help: "make tensors inside the function that uses them; do not keep them in variables outside it",
      });
    }
  }
  const site = currentSite();
  mine.builder.loc = site && { file: site.file, line: site.line, column: site.column };
  try {
    const outputs = mine.builder.emit(op, inputs, attrs);
    for (const value of outputs) mine.names.set(value, undefined);
    return outputs;
  } catch (error) {
    if (!(error instanceof DitError)) throw error;
    throw new DitError(
      error.diagnostics.map((d) => ({
        code: d.code,
        message: d.message,
        notes: inputs.map(describe),
        ...(site ? { span: spanOf(site) } : {}),
        ...(help ? { help } : {}),
      })),
    );
  }
}

/** `x is f32[batch: B, hidden: 384]`, for notes. */
export function describe(value: Value, index: number): string {
  const name = value.name ?? current?.names.get(value);
  return `${name ?? `operand ${index + 1}`} is ${printType(value.type)}`;
}

/** Names a value after the variable that holds it. The first name stays. */
export function nameValue(value: Value, name: string): void {
  if (!current?.names.has(value) || current.names.get(value)) return;
  current.names.set(value, name);
  current.builder.hint(value, name);
}

const ONCE = "the same name is the same tensor: give one of the two another name";

/** The parameter of the function called `name`, declared on first use. */
export function declare(name: string, kind: ParamKind, type: TensorType): Value {
  const mine = running(`${kind} "${name}"`);
  const known = mine.declared.get(name);
  if (known) {
    if (known.kind !== kind) refuse("DIT1204", `"${name}" is declared as ${known.kind} and as ${kind}`, { help: ONCE });
    if (!sameType(known.value.type, type)) {
      refuse("DIT1204", `"${name}" is declared twice, with different types`, {
        notes: [`first as ${printType(known.value.type)}`, `now as ${printType(type)}`],
        help: ONCE,
      });
    }
    return known.value;
  }
  const value = mine.builder.param(name, kind, type);
  mine.declared.set(name, { kind, value });
  mine.names.set(value, name);
  return value;
}

export function declareParam(decl: ParamDecl): Value {
  const state = running("param").options.weights === "state";
  const value = declare(state ? `p.${decl.name}` : decl.name, state ? "state" : "parameter", decl.type);
  const params = running("param").params;
  const known = params.get(decl.name);
  if (known && (known.init.rule !== decl.init.rule || known.trainable !== decl.trainable)) {
    refuse("DIT1204", `parameter "${decl.name}" is declared twice, with different initialisation`, { help: ONCE });
  }
  if (!known) params.set(decl.name, decl);
  return value;
}

export function declareTable(name: string, type: TensorType, data: Float64Array): Value {
  const value = declare(name, "constant", type);
  const tables = running("table").tables;
  const known = tables.get(name);
  if (known && known !== data && !known.every((x, i) => Object.is(x, data[i]))) {
    refuse("DIT1204", `table "${name}" is declared twice, with different contents`, { help: ONCE });
  }
  if (!known) tables.set(name, data);
  return value;
}

/** The weights declared so far, in order, with their values. */
export function declaredParams(): readonly (ParamDecl & { readonly value: Value })[] {
  const mine = running("weights");
  const prefix = mine.options.weights === "state" ? "p." : "";
  return [...mine.params.values()].map((decl) => ({ ...decl, value: mine.declared.get(prefix + decl.name)!.value }));
}

/** d loss / d each value: one node of the graph, which the differentiate pass replaces. */
export function emitGradient(loss: Value, wrt: readonly Value[]): readonly Value[] {
  const mine = running("gradient");
  const outputs = mine.builder.gradient(loss, wrt);
  for (const value of outputs) mine.names.set(value, undefined);
  return outputs;
}
