/**
 * Canonical text of a module, which `parse.ts` reads back:
 *
 *     module graph
 *
 *     fn @forward(%x: input f32[batch: B, in: 4], %w: parameter "head.weight" f32[out: 3, in: 4]) {
 *       %q = dot(%x, %w) {over=[in]} : f32[batch: B, out: 3]  // dit.graph.ts:41:12
 *       return out=%q
 *     }
 *
 * Values have no names of their own, only hints; here they get names, unique in their function. Printing what was parsed gives the
 * same text again.
 */
import { printSize } from "../program/size.js";
import type { AttrKinds, AttrValue, Fn, Module, Node, Value } from "./graph.js";
import { schemaOf } from "./region.js";
import { printType as plainType, type TensorType } from "./types.js";

export interface PrintOptions {
  /** Whether nodes end with their place in the model file; default true. */
  readonly locs?: boolean;
}

export function printModule(module: Module, options: PrintOptions = {}): string {
  return `${[`module ${module.stage}`, ...module.fns.map((fn) => printFn(fn, options))].join("\n\n")}\n`;
}

export function printFn(fn: Fn, options: PrintOptions = {}): string {
  const names = nameValues(fn);
  const params = fn.params.map((p) => {
    const name = names.get(p.value)!;
    return `%${name}: ${p.kind} ${name === p.name ? "" : `${JSON.stringify(p.name)} `}${printType(p.value.type)}`;
  });
  const results = fn.results.map((r) => `${printName(r.name)}=%${names.get(r.value) ?? "?"}`);
  return [
    `fn @${fn.name}(${params.join(", ")}) {`,
    ...fn.nodes.map((node) => `  ${printNode(node, names, options)}`),
    `  return${results.length > 0 ? ` ${results.join(", ")}` : ""}`,
    "}",
  ].join("\n");
}

/** One node as its line of text, without indentation. */
export function printNode(node: Node, names: ReadonlyMap<Value, string>, { locs = true }: PrintOptions = {}): string {
  const name = (v: Value) => `%${names.get(v) ?? "?"}`;
  const schema = schemaOf(node.op) ?? {};
  const attrs = Object.keys(schema)
    .filter((key) => key in node.attrs)
    .concat(Object.keys(node.attrs).filter((key) => !(key in schema)))
    .map((key) => `${key}=${printAttr(schema[key], node.attrs[key]!)}`);
  const text =
    `${node.outputs.map(name).join(", ")} = ${node.op}(${node.inputs.map(name).join(", ")})` +
    `${attrs.length > 0 ? ` {${attrs.join(", ")}}` : ""} : ${node.outputs.map((v) => printType(v.type)).join(", ")}`;
  return locs && node.loc ? `${text}  // ${node.loc.file}:${node.loc.line}:${node.loc.column}` : text;
}

/** What may stand after % or bare in a list; anything else is quoted. Names of digits alone are the printer's own. */
export const isName = (text: string): boolean => /^[A-Za-z_][\w.]*$/.test(text);

/** A hint as a name. */
const spelled = (hint: string): string => (isName(hint) ? hint : hint.replaceAll(/[^\w.]/g, "_").replace(/^(?=[\d.])/, "_"));

/** A unique printable name for every value of a function: its hint, else hint.1, hint.2, …; 0, 1, … for values without a hint. */
export function nameValues(fn: Fn): Map<Value, string> {
  const names = new Map<Value, string>();
  const taken = new Set<string>();
  const copies = new Map<string, number>();
  let unnamed = 0;
  for (const value of [...fn.params.map((p) => p.value), ...fn.nodes.flatMap((node) => node.outputs)]) {
    if (names.has(value)) continue;
    const hint = value.name ? spelled(value.name) : undefined;
    let name = hint ?? String(unnamed++);
    for (let n = copies.get(name) ?? 1; hint !== undefined && taken.has(name); n++) {
      name = `${hint}.${n}`;
      copies.set(hint, n + 1);
    }
    taken.add(name);
    names.set(value, name);
  }
  return names;
}

/** Axis and result names are bare when they can be. */
const printName = (name: string): string => (isName(name) ? name : JSON.stringify(name));

export const printType = (t: TensorType): string =>
  t.axes.every(isName) ? plainType(t) : plainType({ ...t, axes: t.axes.map(printName) });

/** Shortest text that reads back to the same number, -0 included. */
export function printNumber(x: number): string {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  return Object.is(x, -0) ? "-0" : String(x);
}

/** An attribute as text. Without a kind (a node that the verifier is about to refuse) the value itself decides. */
export function printAttr(kind: keyof AttrKinds | undefined, value: AttrValue): string {
  switch (kind) {
    case "num":
    case "int":
      return typeof value === "number" ? printNumber(value) : JSON.stringify(value);
    case "names":
      return Array.isArray(value) ? `[${value.map((name) => printName(String(name))).join(", ")}]` : JSON.stringify(value);
    case "sizes":
      return Array.isArray(value) ? `[${(value as AttrKinds["sizes"]).map(printSize).join(", ")}]` : JSON.stringify(value);
    case "dtype":
      return String(value);
    case "fn":
      return `@${String(value)}`;
    case "type":
      return isType(value) ? printType(value) : JSON.stringify(value);
    default:
      return typeof value === "number" ? printNumber(value) : JSON.stringify(value);
  }
}

const isType = (value: AttrValue): value is TensorType => typeof value === "object" && "dtype" in value;
