/**
 * What fuse knows about a function before it groups anything: the role of each node, what lies in memory behind an operand, and who
 * really reads a value once views are looked through.
 */
import type { Fn, Node, Param, Result, Value } from "../../ir/graph.js";
import { opRow } from "../../ir/ops/index.js";
import { printSize, type Size } from "../../program/size.js";
import { joinedOperands, type Limits, partsOf } from "./placed.js";

/**
 * view, free (made from nothing) and cheap (one step from a stored value, only ever repeated along more axes) are never stored: each
 * region that reads one repeats it inside. pointwise: an element from elements at the same place. reduction, dot, row, partial, kernel:
 * by the op table. placed: no kernel, but a place in memory, of parts stored side by side or of one part of what is stored (placed.ts).
 */
export type Role = "view" | "free" | "cheap" | "pointwise" | "reduction" | "dot" | "row" | "partial" | "kernel" | "placed";

/**
 * How a reader sees a value: at its own place (same), as a row value repeated along the trailing axes (prefix), or at other coordinates.
 */
export type Way = "same" | "prefix" | "other";

export interface Source {
  /** The node behind the views; undefined for a parameter. */
  readonly node: number | undefined;
  readonly value: Value;
  readonly way: Way;
}

const aliasOps = ["rename", "split", "merge", "drop"];

export class Facts {
  readonly roles: Role[];
  readonly results: ReadonlyMap<Value, readonly Result[]>;
  readonly params: ReadonlyMap<Value, Param>;
  /** Values that are stored in a window of something larger: the concat that reads them, and the one that is stored. */
  readonly windowed: ReadonlyMap<Value, { readonly part: Value; readonly whole: Value }>;
  private readonly made = new Map<Value, number>();
  private readonly readersOf = new Map<Value, number[]>();
  /** What has been asked for, once the roles are found and while they stay as they are. */
  private settled = false;
  private readonly finalReaders = new Map<Value, readonly number[]>();
  private readonly knownSources = new Map<Value, Source>();
  private readonly knownOperands = new Map<number, readonly Value[]>();
  private readonly knownMakers = new Map<number, readonly number[]>();
  private readonly knownResults = new Map<Value, boolean>();

  constructor(
    readonly fn: Fn,
    limits?: Limits,
  ) {
    fn.nodes.forEach((node, i) => {
      for (const v of node.outputs) this.made.set(v, i);
      for (const v of new Set(node.inputs)) {
        const known = this.readersOf.get(v);
        if (known) known.push(i);
        else this.readersOf.set(v, [i]);
      }
    });
    const results = new Map<Value, Result[]>();
    for (const r of fn.results) results.set(r.value, [...(results.get(r.value) ?? []), r]);
    this.results = results;
    this.params = new Map(fn.params.map((p) => [p.value, p]));
    this.roles = [];
    for (const node of fn.nodes) this.roles.push(this.roleOf(node));
    this.storeResults();
    fn.nodes.forEach((node, i) => {
      if (this.roles[i] === "pointwise" && this.isCheap(node)) this.roles[i] = "cheap";
    });
    const windowed = new Map<Value, { readonly part: Value; readonly whole: Value }>();
    if (limits) {
      for (const part of partsOf(this)) this.roles[part] = "placed";
      fn.nodes.forEach((_, i) => {
        const operands = joinedOperands(this, i, limits);
        if (!operands) return;
        this.roles[i] = "placed";
        const whole = this.fn.nodes[i]!.outputs[0]!;
        for (const v of operands) {
          windowed.set(v, { part: windowed.get(v)?.part ?? whole, whole });
          // What is elsewhere never stored, a constant for one, is stored among the parts.
          if (this.roles[this.made.get(v)!] !== "kernel") this.roles[this.made.get(v)!] = "pointwise";
        }
      });
    }
    this.windowed = windowed;
    this.forget();
    this.settled = true;
  }

  private roleOf(node: Node): Role {
    const { fusion } = opRow(node.op);
    if (fusion.kind === "view" || fusion.kind === "row" || fusion.kind === "partial" || fusion.kind === "kernel")
      return fusion.kind;
    if (fusion.kind === "anchor") return node.op === "dot" ? "dot" : this.endsSum(node) ? "pointwise" : "reduction";
    return node.inputs.length === 0 ? "free" : "pointwise";
  }

  /** The second stage of a sum: few terms, taken where they are read. */
  private endsSum(node: Node): boolean {
    const source = node.op === "sum" ? this.source(node.inputs[0]!).node : undefined;
    if (source === undefined) return false;
    const { fusion } = opRow(this.fn.nodes[source]!.op);
    return fusion.kind === "partial" || (fusion.kind === "kernel" && fusion.partial === true);
  }

  /**
   * A result that is a view of something, or a constant, is copied into memory of its own; one that only renames what is stored is not.
   * So is an operand that is read as a whole buffer.
   */
  private storeResults(): void {
    const store = (v: Value): void => {
      const i = this.made.get(v);
      if (i === undefined || (this.roles[i] !== "view" && this.roles[i] !== "free")) return;
      const alias = this.roles[i] === "view" && aliasOps.includes(this.fn.nodes[i]!.op);
      if (alias) store(this.fn.nodes[i]!.inputs[0]!);
      else this.roles[i] = "pointwise";
    };
    for (const { value } of this.fn.results) store(value);
    for (const node of this.fn.nodes) {
      const { fusion } = opRow(node.op);
      if (fusion.kind === "kernel" && fusion.whole) for (const v of node.inputs) store(v);
    }
  }

  private isCheap(node: Node): boolean {
    const v = node.outputs[0]!;
    const read = this.directReaders(v);
    if (read.length === 0 || !read.every((i) => this.fn.nodes[i]!.op === "expand" && this.roles[i] === "view")) return false;
    if (opRow(node.op).fusion.kind !== "elementwise" || this.results.has(v)) return false;
    return new Set(node.inputs.flatMap((x) => this.roots(x))).size === 1;
  }

  node(i: number): Node {
    return this.fn.nodes[i]!;
  }

  maker(v: Value): number | undefined {
    return this.made.get(v);
  }

  directReaders(v: Value): readonly number[] {
    return this.readersOf.get(v) ?? [];
  }

  private repeated(i: number): boolean {
    const role = this.roles[i];
    return role === "view" || role === "free" || role === "cheap";
  }

  /** What stands behind the views of `v`, and how it is seen. */
  source(v: Value): Source {
    const known = this.knownSources.get(v);
    if (known) return known;
    const found = this.findSource(v);
    if (this.settled) this.knownSources.set(v, found);
    return found;
  }

  private findSource(v: Value): Source {
    const steps: Node[] = [];
    let at = v;
    for (;;) {
      const i = this.made.get(at);
      if (i === undefined || this.roles[i] !== "view") return { node: i, value: at, way: wayOf(at, steps.toReversed()) };
      steps.push(this.fn.nodes[i]!);
      at = this.fn.nodes[i]!.inputs[0]!;
    }
  }

  /** The stored values behind an operand: through views, and what is repeated. */
  roots(v: Value): Value[] {
    const i = this.made.get(v);
    if (i === undefined) return [v];
    return this.repeated(i) ? this.fn.nodes[i]!.inputs.flatMap((x) => this.roots(x)) : [v];
  }

  /** The stored values a node reads. */
  operands(i: number): readonly Value[] {
    const known = this.knownOperands.get(i);
    if (known) return known;
    const found = this.fn.nodes[i]!.inputs.flatMap((v) => this.roots(v));
    if (this.settled) this.knownOperands.set(i, found);
    return found;
  }

  /** The nodes that make them; parameters have none. */
  makers(i: number): readonly number[] {
    const known = this.knownMakers.get(i);
    if (known) return known;
    const found = this.operands(i).flatMap((v) => this.made.get(v) ?? []);
    this.knownMakers.set(i, found);
    return found;
  }

  /** The nodes that read `v` directly, or through what is never stored. */
  readers(v: Value): readonly number[] {
    const known = this.finalReaders.get(v);
    if (known) return known;
    const found = new Set<number>();
    for (const i of this.directReaders(v)) {
      if (this.repeated(i)) for (const o of this.fn.nodes[i]!.outputs) for (const j of this.readers(o)) found.add(j);
      else found.add(i);
    }
    const list = [...found];
    this.finalReaders.set(v, list);
    return list;
  }

  /** Whether `v`, or an alias of it, is a result. */
  isResult(v: Value): boolean {
    const known = this.knownResults.get(v);
    if (known !== undefined) return known;
    const found =
      this.results.has(v) ||
      this.directReaders(v).some((i) => this.roles[i] === "view" && this.isResult(this.fn.nodes[i]!.outputs[0]!));
    if (this.settled) this.knownResults.set(v, found);
    return found;
  }

  /** Whether anything but these nodes needs `v` in memory. */
  isRead(v: Value, inside: (node: number) => boolean): boolean {
    return this.isResult(v) || !this.readers(v).every(inside);
  }

  /** From now on node `i` computes, where it was a view. */
  makePointwise(i: number): void {
    this.roles[i] = "pointwise";
    this.forget();
  }

  /** Roles have changed since these were asked for. */
  private forget(): void {
    this.finalReaders.clear();
    this.knownSources.clear();
    this.knownOperands.clear();
    this.knownMakers.clear();
    this.knownResults.clear();
  }
}

/** Follows each axis of `root` through views, the first view first. */
function wayOf(root: Value, steps: readonly Node[]): Way {
  let names = root.type.axes;
  let type = root.type;
  for (const step of steps) {
    const next = step.outputs[0]!.type;
    if (step.op === "rename") names = names.map((n) => next.axes[type.axes.indexOf(n)]!);
    else if (step.op !== "expand") return "other";
    type = next;
  }
  if (!names.every((n, i) => type.axes[i] === n)) return "other";
  return type.axes.length === names.length ? "same" : "prefix";
}

const spaces = new WeakMap<readonly Size[], string>();

/** Sizes of the iteration space, whatever the axes are called. */
export function spaceOf(shape: readonly Size[]): string {
  const known = spaces.get(shape) ?? shape.map(printSize).join(" ");
  spaces.set(shape, known);
  return known;
}
