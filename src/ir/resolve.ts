/**
 * Syntax to module: looks up ops, attributes and values, infers types and compares them with those written. Mistakes are collected; a
 * value that could not be made right is given its written type, so that one mistake is reported once.
 */

import { type Diagnostic, DitError } from "../diagnostics/diagnostic.js";
import { nearest } from "../program/nearest.js";
import { parseSize, type Size } from "../program/size.js";
import type { AttrKinds, Attrs, AttrValue, Fn, Module, Node, Param, ParamKind, Stage, Value } from "./graph.js";
import { opTable } from "./ops/index.js";
import { printType } from "./print.js";
import { GRADIENT, REGION, schemaOf } from "./region.js";
import type { At, AttrSyntax, FnSyntax, ModuleSyntax, NodeSyntax, TypeSyntax, Word } from "./syntax.js";
import { dtypes, sameType, type TensorType } from "./types.js";
import { problemOf } from "./verify.js";

/** Makes a diagnostic at a place of the text. */
export type Locate = (code: string, message: string, at: At) => Diagnostic;

const stages: readonly Stage[] = ["graph", "kernel"];
const paramKinds: readonly ParamKind[] = ["input", "parameter", "constant", "state"];

export function resolve(syntax: ModuleSyntax, locate: Locate): Module {
  const resolver = new Resolver(locate);
  const stage = resolver.oneOf(stages, syntax.stage, "stage") ?? "graph";
  const module: Module = { stage, fns: syntax.fns.map((fn) => resolver.fn(fn)) };
  if (resolver.mistakes.length > 0) throw new DitError(resolver.mistakes.sort(byPlace));
  // What is left are the rules that no single line breaks: names that stand twice, regions against their bodies, states.
  const problem = problemOf(module);
  if (problem) throw new DitError(locate("DIT2110", problem, syntax.stage.at));
  return module;
}

const byPlace = (a: Diagnostic, b: Diagnostic): number =>
  (a.span?.line ?? 0) - (b.span?.line ?? 0) || (a.span?.column ?? 0) - (b.span?.column ?? 0);

class Resolver {
  readonly mistakes: Diagnostic[] = [];
  private scope = new Map<string, Value>();
  /** Stand-ins for values that are used but not defined. */
  private readonly unknown = new Set<Value>();

  constructor(private readonly locate: Locate) {}

  fn(syntax: FnSyntax): Fn {
    this.scope = new Map();
    const params = syntax.params.map((p): Param => {
      const kind = this.oneOf(paramKinds, p.kind, "kind of parameter") ?? "input";
      return { name: p.name?.text ?? p.value.text, kind, value: this.define(p.value, this.type(p.type)) };
    });
    const nodes = syntax.nodes.map((node) => this.node(node));
    const results = syntax.results.map((r) => ({ name: r.name.text, value: this.use(r.value) }));
    return { name: syntax.name.text, params, nodes, results };
  }

  private node(syntax: NodeSyntax): Node {
    const before = this.mistakes.length;
    const inputs = syntax.inputs.map((ref) => this.use(ref));
    const written = syntax.types.map((type) => this.type(type));
    const attrs = this.attrs(syntax);
    if (written.length !== syntax.outputs.length) {
      this.say("DIT2108", `${syntax.outputs.length} values but ${written.length} types`, syntax.outputs[0]!.at);
    }
    // After a wrong attribute or operand, a complaint about types would only repeat it.
    if (attrs && this.mistakes.length === before && !inputs.some((v) => this.unknown.has(v)))
      this.check(syntax, inputs, attrs, written);
    const empty: TensorType = { dtype: "f32", axes: [], shape: [] };
    const outputs = syntax.outputs.map((ref, i) => this.define(ref, written[i] ?? empty));
    return { op: syntax.op.text, inputs, attrs: attrs ?? {}, outputs, ...(syntax.loc ? { loc: syntax.loc } : {}) };
  }

  /** Operand count and types, as inference sees them. Regions are checked against their bodies at the end. */
  private check(syntax: NodeSyntax, inputs: readonly Value[], attrs: Attrs, written: readonly TensorType[]): void {
    const row = opTable.get(syntax.op.text);
    if (!row) return;
    if (row.operands !== "variadic" && row.operands.length !== inputs.length) {
      const names = row.operands.length > 0 ? ` (${row.operands.join(", ")})` : "";
      this.say("DIT2107", `${row.op} takes ${row.operands.length} operands${names}, found ${inputs.length}`, syntax.op.at);
      return;
    }
    const inferred = row.infer(
      inputs.map((v) => v.type),
      attrs as never,
    );
    if (typeof inferred === "string") {
      this.say("DIT2107", `${row.op}: ${inferred}`, syntax.op.at, {
        notes: syntax.inputs.map((ref, i) => `%${ref.text} is ${printType(inputs[i]!.type)}`),
      });
      return;
    }
    const types = "dtype" in inferred ? [inferred] : inferred;
    types.forEach((type, i) => {
      if (!written[i] || sameType(type, written[i])) return;
      this.say(
        "DIT2108",
        `${row.op} gives ${printType(type)}, but ${printType(written[i])} is written`,
        syntax.types[i]!.dtype.at,
      );
    });
  }

  private attrs(syntax: NodeSyntax): Attrs | undefined {
    const schema = schemaOf(syntax.op.text);
    if (!schema) {
      this.say(
        "DIT2103",
        `there is no op "${syntax.op.text}"`,
        syntax.op.at,
        suggest(syntax.op.text, [...opTable.keys(), REGION, GRADIENT]),
      );
      return undefined;
    }
    const attrs: Record<string, AttrValue> = {};
    for (const { key, value } of syntax.attrs) {
      const kind = Object.hasOwn(schema, key.text) ? schema[key.text] : undefined;
      if (!kind) {
        this.say("DIT2106", `${syntax.op.text} has no attribute "${key.text}"`, key.at, suggest(key.text, Object.keys(schema)));
      } else if (key.text in attrs) {
        this.say("DIT2106", `attribute "${key.text}" stands twice`, key.at);
      } else {
        const read = this.attr(kind, value);
        if (read === undefined) this.say("DIT2106", `attribute "${key.text}" is ${kindText[kind]}`, atOf(value));
        else attrs[key.text] = read;
      }
    }
    const given = syntax.attrs.map(({ key }) => key.text);
    for (const [key, kind] of Object.entries(schema)) {
      if (!given.includes(key))
        this.say("DIT2106", `${syntax.op.text} needs the attribute "${key}", ${kindText[kind]}`, syntax.op.at);
    }
    return attrs;
  }

  /** The value of an attribute, undefined when the text is of another kind. */
  private attr(kind: keyof AttrKinds, syntax: AttrSyntax): AttrValue | undefined {
    if (syntax.form === "string") return kind === "str" ? syntax.word.text : undefined;
    if (syntax.form === "fn") return kind === "fn" ? syntax.word.text : undefined;
    if (syntax.form === "type") return kind === "type" ? this.type(syntax.type) : undefined;
    if (syntax.form === "list") {
      if (kind === "names") return syntax.items.map((item) => item.text);
      const sizes = kind === "sizes" ? syntax.items.map((item) => (item.quoted ? undefined : parseSize(item.text))) : [undefined];
      return sizes.includes(undefined) ? undefined : (sizes as Size[]);
    }
    const { text } = syntax.word;
    if (kind === "bool") return text === "true" ? true : text === "false" ? false : undefined;
    if (kind === "dtype") return dtypes.find((d) => d === text);
    if (kind === "num") return readNumber(text);
    return kind === "int" && Number.isSafeInteger(readNumber(text)) ? readNumber(text) : undefined;
  }

  private type({ dtype, axes }: TypeSyntax): TensorType {
    const names = axes.map(({ name }) => name.text);
    axes.forEach(({ name }, i) => {
      if (names.indexOf(name.text) < i) this.say("DIT2109", `axis "${name.text}" stands twice in one type`, name.at);
    });
    const shape = axes.map(({ size }) => {
      const read = parseSize(size.text);
      if (read === undefined)
        this.say("DIT2109", `"${size.text}" is no size: write a number or a polynomial of B such as 2*B`, size.at);
      return read ?? 1;
    });
    return { dtype: this.oneOf(dtypes, dtype, "dtype") ?? "f32", axes: names, shape };
  }

  private define(ref: Word, type: TensorType): Value {
    if (this.scope.has(ref.text)) this.say("DIT2105", `%${ref.text} is defined twice`, ref.at);
    const value: Value = /^\d+$/.test(ref.text) ? { type } : { type, name: ref.text };
    this.scope.set(ref.text, value);
    return value;
  }

  private use(ref: Word): Value {
    const value = this.scope.get(ref.text);
    if (value) return value;
    this.say("DIT2104", `%${ref.text} is not defined before this line`, ref.at, suggest(ref.text, [...this.scope.keys()], "%"));
    // Known from here on, so that the name is reported once.
    const stand: Value = { type: { dtype: "f32", axes: [], shape: [] }, name: ref.text };
    this.unknown.add(stand);
    this.scope.set(ref.text, stand);
    return stand;
  }

  oneOf<T extends string>(choices: readonly T[], found: Word, what: string): T | undefined {
    const choice = choices.find((c) => c === found.text);
    if (!choice)
      this.say("DIT2109", `there is no ${what} "${found.text}": ${choices.join(", ")}`, found.at, suggest(found.text, choices));
    return choice;
  }

  private say(code: string, message: string, at: At, more: Pick<Diagnostic, "notes" | "help"> = {}): void {
    this.mistakes.push({ ...this.locate(code, message, at), ...more });
  }
}

const kindText: Record<keyof AttrKinds, string> = {
  num: "a number",
  int: "a whole number",
  bool: "true or false",
  str: "a quoted string",
  names: "a list of names such as [token, hidden]",
  sizes: "a list of sizes such as [B, 256]",
  dtype: `a dtype: ${dtypes.join(", ")}`,
  type: "a type such as f32[token: 4]",
  fn: "a function such as @body",
};

const atOf = (syntax: AttrSyntax): At =>
  syntax.form === "list" ? syntax.at : syntax.form === "type" ? syntax.type.dtype.at : syntax.word.at;

function readNumber(text: string): number | undefined {
  const named: Readonly<Record<string, number>> = { inf: Infinity, "-inf": -Infinity, nan: Number.NaN };
  if (Object.hasOwn(named, text)) return named[text];
  return /^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(text) ? Number(text) : undefined;
}

/** `did you mean …?` when a name of the list is at most two typing slips away. */
function suggest(name: string, names: readonly string[], sigil = ""): { help?: string } {
  const near = nearest(name, names, Math.min(2, name.length - 1));
  return near === undefined ? {} : { help: `did you mean ${sigil}${near}?` };
}
