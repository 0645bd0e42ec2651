/**
 * What the raise passes look for patterns with. Views that keep axis names (expand, transpose) are looked through: they commute with
 * elementwise work, and axes are told by name. A pattern remembers the nodes that it stands on; it may be replaced only when nobody else
 * reads what is inside.
 */
import type { Fn, Node, Value } from "../ir/graph.js";
import { readers } from "../ir/graph.js";

/** One attempt at a match; `seen` are the nodes that it stands on. */
export class Pattern {
  readonly seen = new Set<Node>();

  constructor(protected readonly made: ReadonlyMap<Value, Node>) {}

  /** The node that makes `v`, whatever it is. */
  maker(v: Value): Node | undefined {
    return this.made.get(v);
  }

  /** The value behind repetitions and other orders of axes. */
  behind(v: Value): Value {
    const node = this.made.get(v);
    if (node?.op !== "expand" && node?.op !== "transpose") return v;
    this.seen.add(node);
    return this.behind(node.inputs[0]!);
  }

  /** The node that makes `v`, views aside, when it is one of these ops. */
  node(v: Value, ...ops: readonly string[]): Node | undefined {
    const node = this.made.get(this.behind(v));
    if (!node || !ops.includes(node.op)) return undefined;
    this.seen.add(node);
    return node;
  }

  constant(v: Value): number | undefined {
    const value = this.node(v, "fill")?.attrs.value;
    return typeof value === "number" ? value : undefined;
  }

  /** Both orders of a commutative op's operands. */
  orders(node: Node): readonly (readonly [Value, Value])[] {
    const [x, y] = [node.inputs[0]!, node.inputs[1]!];
    return [
      [x, y],
      [y, x],
    ];
  }

  /** The first success of several attempts; what a failed one has seen is forgotten. */
  first<T>(attempts: Iterable<() => T | undefined>): T | undefined {
    for (const attempt of attempts) {
      const before = new Set(this.seen);
      const found = attempt();
      if (found !== undefined) return found;
      for (const node of this.seen) if (!before.has(node)) this.seen.delete(node);
    }
    return undefined;
  }
}

/** Says of a pattern that ends in `last` and stands on `seen` whether nothing else reads what is inside. Constants do not count. */
export function wholeness(fn: Fn): (last: Node, seen: ReadonlySet<Node>) => boolean {
  const readBy = readers(fn);
  const results = new Set(fn.results.map((r) => r.value));
  return (last, seen) => {
    const free = (node: Node): boolean =>
      node.op === "fill" || (node.inputs.length === 1 && node.op === "expand" && isFill(node.inputs[0]!));
    const fills = new Set([...seen].filter((n) => n.op === "fill").map((n) => n.outputs[0]!));
    const isFill = (v: Value): boolean => fills.has(v);
    return [...seen].every(
      (node) =>
        node === last ||
        free(node) ||
        node.outputs.every((v) => !results.has(v) && (readBy.get(v) ?? []).every((r) => r === last || seen.has(r))),
    );
  };
}

export const sameAxes = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name) => b.includes(name));
