/**
 * Groups of nodes that become one kernel each, and which two may become one: their iteration spaces must fit, no third group may stand
 * between them, and the kernel must not bind more buffers than the target allows.
 *
 * Five kinds. `map`: one space. `rows`: a full space, and that of its rows (the leading axes); reductions along the rows, what is
 * elementwise in either space, and sums of runs of rows. `dot`: a contraction with what is elementwise on its result. `reduce`: any other
 * reduction. `op`: an op with a kernel family of its own. A group of few nodes whose results only one other group reads may be computed
 * inside it, at whatever coordinates it is read there.
 */
import type { Value } from "../../ir/graph.js";
import type { RegionKind } from "../../ir/region.js";
import { evaluate, product, type Size } from "../../program/size.js";
import { Dependences } from "./dependences.js";
import { type Facts, spaceOf } from "./facts.js";

export interface Group {
  members: readonly number[];
  /** placed: no kernel (placed.ts). */
  kind: RegionKind | "placed";
  /** Space of map and dot; full space of rows, and of a reduction along trailing axes. */
  space: string;
  /** Of rows: the first axis of the row itself, counted from 0; its leading axes are the row space. */
  split?: number;
  rowSpace?: string;
  /** Of rows: elements of one; undefined when the batch is among them. */
  readonly length?: number | undefined;
  /** Of rows: how many rows a partial sum takes together. */
  run?: number;
}

/** Most nodes of a group that may be computed again for every element of a larger space. */
const FEW = 3;
/** Longest row that is computed and stored by the kernel that reduces it. */
const LONGEST = 8192;
/** A space this many times larger at most, for longer chains. */
const SLIGHTLY = 8;

export class Groups {
  readonly of: (number | undefined)[];
  readonly all: Group[] = [];
  private readonly dependences: Dependences;
  /** Pairs that could not be joined. They cannot later either, while both are as they are: ways between other groups only get more. */
  private readonly refused = new WeakMap<Group, WeakSet<Group>>();

  constructor(
    private readonly facts: Facts,
    private readonly maxBuffers: number,
    /** Whether kinds other than map may grow, and chains be computed inside readers of another space. */
    private readonly fused: boolean,
  ) {
    const { nodes } = facts.fn;
    this.of = nodes.map(() => undefined);
    const opened = [...nodes.keys()].filter((i) => !["view", "free", "cheap"].includes(facts.roles[i]!));
    this.dependences = new Dependences(opened.length);
    for (const i of opened) this.open(i);
  }

  private open(i: number): void {
    this.dependences.open(this.sources(i));
    this.of[i] = this.all.length;
    this.all.push({ members: [i], ...this.shapeOf(i) });
  }

  private shapeOf(i: number): Omit<Group, "members"> {
    const node = this.facts.node(i);
    const x = node.inputs[0]?.type;
    const own = spaceOf(node.outputs[0]!.type.shape);
    const rows = (split: number, run?: number): Omit<Group, "members"> => ({
      kind: "rows",
      space: spaceOf(x!.shape),
      split,
      rowSpace: spaceOf(x!.shape.slice(0, split)),
      length: numberOf(product(x!.shape.slice(split))),
      ...(run === undefined ? {} : { run }),
    });
    switch (this.facts.roles[i]) {
      case "dot":
        return { kind: "dot", space: own };
      case "kernel":
        return { kind: "op", space: own };
      case "placed":
        return { kind: "placed", space: own };
      case "partial":
        return rows(x!.axes.indexOf(node.attrs.axis as string) + 1, node.attrs.run as number);
      case "row":
      case "reduction": {
        const over = node.attrs.over as readonly string[];
        const split = x!.axes.length - over.length;
        const trailing = x!.axes.slice(split).every((a) => over.includes(a));
        const summed = node.outputs[0]!.type.dtype === "f32";
        return this.fused && trailing && summed ? { ...rows(split), kind: "rows" } : { kind: "reduce", space: spaceOf(x!.shape) };
      }
      default:
        return { kind: "map", space: own };
    }
  }

  /** The groups that a node reads from. */
  private sources(i: number): number[] {
    return this.facts.makers(i).flatMap((node) => this.of[node] ?? []);
  }

  groupOf(i: number): Group {
    return this.all[this.of[i]!]!;
  }

  count(): number {
    return this.all.filter((g) => g.members.length > 0).length;
  }

  /** Makes one group of two, when that can be one kernel; `a` comes first. Says whether it did. */
  join(a: number, b: number): boolean {
    if (a === b) return true;
    const [first, second] = [this.all[a]!, this.all[b]!];
    if (this.refused.get(first)?.has(second)) return false;
    const made = this.joined(a, b);
    if (made) this.take(a, b, made);
    else this.refused.set(first, (this.refused.get(first) ?? new WeakSet()).add(second));
    return made !== undefined;
  }

  private joined(a: number, b: number): Group | undefined {
    const made = this.union(a, b);
    if (!made || this.closesCircle(a, b) || this.closesCircle(b, a)) return undefined;
    // Only maps and ops of their own store into windows.
    if (made.kind !== "map" && made.members.some((i) => this.facts.node(i).outputs.some((v) => this.facts.windowed.has(v))))
      return undefined;
    const inside = this.inside(a, b);
    return this.buffers(made, inside) <= this.maxBuffers && this.outputsFit(made, inside) ? made : undefined;
  }

  /** Whether a node is in one of two groups. */
  private inside(a: number, b: number): (node: number) => boolean {
    return (node) => this.of[node] === a || this.of[node] === b;
  }

  /** Puts what reads a dot's operand, or turns its result, into the dot's kernel, which knows how. */
  attach(a: number, b: number): boolean {
    if (a === b || this.closesCircle(a, b) || this.closesCircle(b, a)) return false;
    const made = { ...this.all[a]!, members: sorted(this.all[a]!.members, this.all[b]!.members) };
    if (this.buffers(made, this.inside(a, b)) > this.maxBuffers) return false;
    this.take(a, b, made);
    return true;
  }

  private take(a: number, b: number, made: Group): void {
    this.all[a] = made;
    this.all[b] = { members: [], kind: "map", space: "" };
    for (const i of made.members) this.of[i] = a;
    this.dependences.merge(a, b);
  }

  /** Adds a node that was a view to a group, as the new form of its result. */
  addTurned(group: number, i: number): void {
    const g = this.all[group]!;
    this.all[group] = {
      ...g,
      members: sorted(g.members, [i]),
      space: g.kind === "op" ? g.space : spaceOf(this.facts.node(i).outputs[0]!.type.shape),
    };
    this.of[i] = group;
  }

  private union(first: number, second: number): Group | undefined {
    const [a, b] = [this.all[first]!, this.all[second]!];
    const kinds = [a.kind, b.kind];
    const together = (g: Group): Group => ({ ...g, members: sorted(a.members, b.members) });
    /** The group that may compute the other inside itself. */
    const outer = (): Group | undefined => (this.fitsInside(first, second) ? b : this.fitsInside(second, first) ? a : undefined);
    if (kinds.every((k) => k === "map")) {
      if (a.space === b.space && this.edgesFit(first, second)) return together(a);
      const whole = outer();
      return whole && together(whole);
    }
    if (kinds.includes("dot") && kinds.includes("map")) {
      const [dot, other] = a.kind === "dot" ? [first, second] : [second, first];
      const [own, { space }] = [this.all[dot]!, this.all[other]!];
      if (own.space === space && this.reads(other, dot) && this.edgesFit(first, second)) return together(own);
      return outer() === own && !this.reads(dot, other) ? together(own) : undefined;
    }
    if (!kinds.every((k) => k === "map" || k === "rows")) return undefined;
    const rows = a.kind === "rows" ? a : b;
    const other = a.kind === "rows" ? b : a;
    if (other.kind === "rows") {
      if (a.space !== b.space || a.split !== b.split) return undefined;
      if (a.run !== undefined && b.run !== undefined && a.run !== b.run) return undefined;
    } else if (other.space !== rows.space && other.space !== rows.rowSpace) {
      return outer() === rows ? together(rows) : undefined;
    } else if (other.space === rows.space && !((rows.length ?? Infinity) <= LONGEST)) {
      // A workgroup goes through a row: many elements of few rows are better left to many.
      return undefined;
    }
    const run = a.run ?? b.run;
    return this.edgesFit(first, second) ? { ...together(rows), ...(run === undefined ? {} : { run }) } : undefined;
  }

  /** Whether `a` is a map so small, or read so little more often than it has elements, that `b` may compute it itself. */
  private fitsInside(a: number, b: number): boolean {
    const [{ kind, members }, whole] = [this.all[a]!, this.all[b]!];
    if (!this.fused || kind !== "map" || (whole.kind !== "map" && whole.kind !== "rows" && whole.kind !== "dot")) return false;
    const alone = (i: number): boolean => this.of[i] === a;
    const outputs = members.map((i) => this.facts.node(i).outputs[0]!).filter((v) => this.facts.isRead(v, alone));
    if (outputs.length === 0 || outputs.some((v) => this.facts.isRead(v, this.inside(a, b)))) return false;
    if (!outputs.some((v) => this.facts.readers(v).some((i) => this.of[i] === b))) return false;
    const numel = (shape: readonly Size[]) => evaluate(product(shape), 1);
    const least = Math.min(...outputs.map((v) => numel(v.type.shape)));
    const most = Math.max(...whole.members.map((i) => numel(this.facts.node(i).outputs[0]!.type.shape)));
    if (members.length > FEW && most > SLIGHTLY * least) return false;
    // A sum that ends in a reader repeats its loop there.
    return !(members.some((i) => this.facts.node(i).op === "sum") && (whole.kind !== "map" || most > SLIGHTLY * least));
  }

  private reads(reader: number, source: number): boolean {
    return this.all[reader]!.members.some((i) => this.facts.makers(i).some((node) => this.of[node] === source));
  }

  /** Whether each group sees what it reads of the other at coordinates that one kernel has at hand. */
  private edgesFit(a: number, b: number): boolean {
    return this.sees(a, b) && this.sees(b, a);
  }

  private sees(reader: number, source: number): boolean {
    return this.all[reader]!.members.every((i) =>
      this.facts.node(i).inputs.every((v) => this.throughCheap(v).every((x) => this.seesValue(i, x, source))),
    );
  }

  /** The operand, or what the cheap node behind it reads. */
  private throughCheap(v: Value): readonly Value[] {
    const from = this.facts.source(v);
    const cheap = from.node !== undefined && this.facts.roles[from.node] === "cheap";
    return cheap ? [v, ...this.facts.node(from.node!).inputs] : [v];
  }

  private seesValue(i: number, v: Value, group: number): boolean {
    const { node, value, way } = this.facts.source(v);
    if (node === undefined || this.of[node] !== group) return true;
    const source = this.all[group]!;
    const at = spaceOf(this.facts.node(i).outputs[0]!.type.shape);
    const seen = spaceOf(value.type.shape);
    const whole = spaceOf(v.type.shape);
    switch (this.facts.roles[node]) {
      case "reduction":
        // A row's value, read along the row or by what has one value a row.
        return source.kind === "rows" && (way === "prefix" ? whole === source.space : way === "same" && at === seen);
      case "pointwise": {
        if (way === "same") return true;
        return way === "prefix" && source.rowSpace === seen && whole === source.space;
      }
      case "row":
      case "dot":
        return way === "same";
      default:
        return false;
    }
  }

  private outputsFit(made: Group, inside: (node: number) => boolean): boolean {
    return made.members.every((i) => {
      const role = this.facts.roles[i];
      if (role === "partial" || role === "kernel" || role === "reduction") return true;
      const v = this.facts.node(i).outputs[0]!;
      if (!this.facts.isRead(v, inside)) return true;
      const space = spaceOf(v.type.shape);
      return space === made.space || (made.kind === "rows" && space === made.rowSpace);
    });
  }

  /** Whether `a` reads from a third group that needs `b`: then the two cannot run as one kernel. */
  private closesCircle(a: number, b: number): boolean {
    return this.all[a]!.members.some((i) =>
      this.facts.makers(i).some((node) => {
        const g = this.of[node];
        return g !== undefined && g !== a && g !== b && this.dependences.has(g, b);
      }),
    );
  }

  /** Storage buffers the group would bind. A map's result that replaces a state parameter is written where that parameter lies. */
  private buffers({ members, kind }: Group, inside: (node: number) => boolean): number {
    const { facts } = this;
    const bound = new Set<Value | string>();
    for (const i of members) {
      for (const v of facts.operands(i)) {
        const maker = facts.maker(v);
        if (maker === undefined || !inside(maker)) bound.add(facts.params.get(v)?.name ?? v);
      }
      for (const v of facts.node(i).outputs) {
        const replaced = kind === "map" ? facts.results.get(v)?.[0]?.name : undefined;
        if (facts.isRead(v, inside)) bound.add(replaced ?? facts.windowed.get(v)?.whole ?? v);
      }
    }
    return bound.size;
  }
}

const numberOf = (size: Size): number | undefined => (typeof size === "number" ? size : undefined);

/** The members of two groups, which have none in common, in order. */
function sorted(a: readonly number[], b: readonly number[]): number[] {
  const out: number[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) out.push(a[i]! < b[j]! ? a[i++]! : b[j++]!);
  return [...out, ...a.slice(i), ...b.slice(j)];
}
