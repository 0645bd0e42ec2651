/** Structural equality of modules: the same functions, nodes, attributes, types and places; hints of values do not count. */
import type { Fn, Module, Node, Value } from "./graph.js";
import { printAttr } from "./print.js";
import { schemaOf } from "./region.js";
import { printType, sameType } from "./types.js";

export const sameModule = (a: Module, b: Module): boolean => a.stage === b.stage && pairs(a.fns, b.fns, sameFn);

function sameFn(a: Fn, b: Fn): boolean {
  const twin = new Map<Value, Value>();
  // Values correspond by where they are defined.
  const define = (x: Value, y: Value): boolean => {
    twin.set(x, y);
    return sameType(x.type, y.type);
  };
  const sameNode = (x: Node, y: Node): boolean =>
    x.op === y.op &&
    pairs(x.inputs, y.inputs, (v, w) => twin.get(v) === w) &&
    attrsKey(x) === attrsKey(y) &&
    x.loc?.file === y.loc?.file &&
    x.loc?.line === y.loc?.line &&
    x.loc?.column === y.loc?.column &&
    pairs(x.outputs, y.outputs, define);
  return (
    a.name === b.name &&
    pairs(a.params, b.params, (p, q) => p.name === q.name && p.kind === q.kind && define(p.value, q.value)) &&
    pairs(a.nodes, b.nodes, sameNode) &&
    pairs(a.results, b.results, (r, s) => r.name === s.name && twin.get(r.value) === s.value)
  );
}

/** The attributes of a node as one text that tells any two apart (NaN, infinities and -0 included). */
export function attrsKey(node: Node): string {
  const schema = schemaOf(node.op) ?? {};
  return Object.keys(node.attrs)
    .sort()
    .map((key) => `${key}=${printAttr(schema[key], node.attrs[key]!)}`)
    .join(", ");
}

/** What a function computes, as a text: two with the same text have the same nodes and types. Names and places in the source do not count. */
export function fnKey(fn: Fn): string {
  const ids = new Map<Value, number>();
  const define = (v: Value): string => {
    ids.set(v, ids.size);
    return printType(v.type);
  };
  const use = (v: Value): number => ids.get(v)!;
  return [
    fn.params.map(({ kind, value }) => `${kind} ${define(value)}`).join(", "),
    ...fn.nodes.map((n) => `${n.op}(${n.inputs.map(use).join()}) ${attrsKey(n)}: ${n.outputs.map(define).join()}`),
    fn.results.map(({ value }) => use(value)).join(),
  ].join("\n");
}

const pairs = <T>(a: readonly T[], b: readonly T[], same: (x: T, y: T) => boolean): boolean =>
  a.length === b.length && a.every((x, i) => same(x, b[i]!));
