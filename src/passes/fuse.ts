/**
 * fuse — from ops to kernels: every node becomes part of a region, one region one kernel.
 *
 *   %a = mul(%x, %y); %b = exp(%a); return %b   ⇒   %b = region(%x, %y) {body=@region0, kind="map"}
 *
 * Three kinds: `map` computes elementwise (several results may leave it), `reduce` and `dot` hold one anchor each; a reduction computes its
 * operand as it reads it. Views never become
 * kernels: a region that reads a view repeats the view inside and reads the memory behind it at other coordinates. Elementwise nodes of
 * one iteration space join the region of what they read, unless that would make a cycle or bind more buffers than the target allows.
 */
import type { Fn, Module, Node, Param, Result, Value } from "../ir/graph.js";
import { opRow } from "../ir/ops/index.js";
import { printSize } from "../program/size.js";
import { Dependences } from "./dependences.js";
import type { Pass } from "./pass.js";

export const fuse: Pass = {
  name: "fuse",
  doc: "Group ops into regions, one kernel each: elementwise chains, and anchors with the views they read through.",
  run: (module, options) => {
    if (module.stage === "kernel") return module;
    const bodies: Fn[] = [];
    const fns = module.fns.map((fn) => new Fuser(fn, (options.maxStorageBuffers as number | undefined) ?? 8, bodies).run());
    return { ...module, stage: "kernel", fns: [...fns, ...bodies] } satisfies Module;
  },
};

type Role = "view" | "free" | "pointwise" | "anchor" | "kernel";

/** free: made from nothing (a constant, an index), so it is repeated wherever it is read instead of being stored. */
function roleOf(node: Node): Role {
  const kind = opRow(node.op).fusion.kind;
  if (kind === "view") return "view";
  if (kind === "anchor" || kind === "kernel") return kind;
  return node.inputs.length === 0 ? "free" : "pointwise";
}

const aliasOps = ["rename", "split", "merge", "drop"];

class Fuser {
  private readonly made = new Map<Value, number>();
  private readonly roles: Role[];
  private readonly readersOf = new Map<Value, number[]>();
  /** Group of each node that is in one, and the members of each group. */
  private readonly groupOf: (number | undefined)[];
  private readonly groups: number[][] = [];
  private readonly dependences: Dependences;
  /** Results of anchors that are stored transposed: they stay inside. */
  private readonly turned = new Set<Value>();
  private readonly results: ReadonlyMap<Value, readonly Result[]>;
  private readonly paramNames: ReadonlyMap<Value, string>;

  constructor(
    private readonly fn: Fn,
    private readonly maxBuffers: number,
    private readonly bodies: Fn[],
  ) {
    this.roles = fn.nodes.map(roleOf);
    this.groupOf = fn.nodes.map(() => undefined);
    this.dependences = new Dependences(fn.nodes.length);
    fn.nodes.forEach((node, i) => {
      for (const v of node.outputs) this.made.set(v, i);
      for (const v of new Set(node.inputs)) this.readersOf.set(v, [...(this.readersOf.get(v) ?? []), i]);
    });
    const results = new Map<Value, Result[]>();
    for (const r of fn.results) results.set(r.value, [...(results.get(r.value) ?? []), r]);
    this.results = results;
    this.paramNames = new Map(fn.params.map((p) => [p.value, p.name]));
  }

  run(): Fn {
    this.fn.nodes.forEach((_, i) => {
      if (this.roles[i] === "anchor" || this.roles[i] === "kernel") this.open(i);
      if (this.roles[i] === "pointwise") this.place(i);
    });
    this.joinAgain();
    this.absorbOperands();
    this.absorbTransposes();
    this.copyResults();
    return this.emit();
  }

  // Grouping

  private open(i: number): void {
    this.dependences.open(this.sources(i));
    this.groupOf[i] = this.groups.length;
    this.groups.push([i]);
  }

  /** Puts a pointwise node into the groups it reads from, merged, or into one of its own. */
  private place(i: number): void {
    this.open(i);
    this.joinSources(i);
  }

  private joinSources(i: number): void {
    for (const v of this.fn.nodes[i]!.inputs) {
      const source = this.rootThroughRenames(v);
      const group = source === undefined ? undefined : this.groupOf[source];
      if (group === undefined || group === this.groupOf[i] || this.roles[source!] !== "pointwise") continue;
      if (space(this.fn.nodes[source!]!) !== space(this.fn.nodes[i]!)) continue;
      this.tryJoin(group, this.groupOf[i]!);
    }
  }

  /**
   * While a chain grows, its unfinished ends count as buffers, which can part what fits together as a whole (an optimizer's update). So
   * groups that read from one another are tried again, now that each has its final readers.
   */
  private joinAgain(): void {
    for (let before = -1; before !== this.count(); ) {
      before = this.count();
      this.fn.nodes.forEach((_, i) => {
        if (this.roles[i] === "pointwise") this.joinSources(i);
      });
    }
  }

  private count(): number {
    return this.groups.filter((g) => g.length > 0).length;
  }

  /** A reduction computes its operand as it reads it, when nobody else reads it and each element is read once. */
  private absorbOperands(): void {
    this.fn.nodes.forEach((node, i) => {
      if (this.roles[i] !== "anchor" || node.op === "dot") return;
      const source = this.rootThroughRenames(node.inputs[0]!);
      const group = source === undefined ? undefined : this.groupOf[source];
      if (group === undefined || this.roles[source!] !== "pointwise") return;
      const set = new Set(this.groups[group]!);
      const outputs = this.groups[group]!.filter((j) => this.isRead(this.fn.nodes[j]!.outputs[0]!, set));
      if (outputs.length !== 1 || outputs[0] !== source || !this.isRead(this.fn.nodes[source!]!.outputs[0]!, set)) return;
      if (this.isRead(this.fn.nodes[source!]!.outputs[0]!, new Set([...set, i]))) return;
      this.tryJoin(group, this.groupOf[i]!);
    });
  }

  private tryJoin(a: number, b: number): void {
    if (this.closesCircle(a, b) || this.closesCircle(b, a)) return;
    const members = [...this.groups[a]!, ...this.groups[b]!].sort((x, y) => x - y);
    if (this.buffers(new Set(members)) > this.maxBuffers) return;
    this.groups[a] = members;
    this.groups[b] = [];
    for (const i of members) this.groupOf[i] = a;
    this.dependences.merge(a, b);
  }

  /** Whether `a` reads from a third group that needs `b`: then the two cannot run as one kernel. */
  private closesCircle(a: number, b: number): boolean {
    return this.groups[a]!.some((i) => this.sources(i).some((g) => g !== a && g !== b && this.dependences.has(g, b)));
  }

  /** The groups that a node reads from. */
  private sources(i: number): number[] {
    return this.operands(i).flatMap((v) => this.groupOf[this.made.get(v) ?? -1] ?? []);
  }

  /** Storage buffers the group would bind. A result that replaces a state parameter is written where that parameter lies. */
  private buffers(set: ReadonlySet<number>): number {
    const bound = new Set<Value | string>();
    for (const i of set) {
      for (const v of this.operands(i)) {
        if (!set.has(this.made.get(v) ?? -1)) bound.add(this.paramNames.get(v) ?? v);
      }
      for (const v of this.fn.nodes[i]!.outputs) {
        if (this.isRead(v, set)) bound.add(this.results.get(v)?.[0]?.name ?? v);
      }
    }
    return bound.size;
  }

  /** The stored values a node reads, behind views and free nodes. */
  private operands(i: number): Value[] {
    return this.fn.nodes[i]!.inputs.flatMap((v) => this.roots(v));
  }

  private roots(v: Value): Value[] {
    const i = this.made.get(v);
    if (i === undefined) return [v];
    if (this.roles[i] === "free") return [];
    return this.roles[i] === "view" ? this.roots(this.fn.nodes[i]!.inputs[0]!) : [v];
  }

  private rootThroughRenames(v: Value): number | undefined {
    const i = this.made.get(v);
    if (i === undefined || this.fn.nodes[i]!.op !== "rename") return i;
    return this.rootThroughRenames(this.fn.nodes[i]!.inputs[0]!);
  }

  /** Whether anything outside `set` needs `v` in memory. Inside, only readers through renames see it without memory. */
  private isRead(v: Value, set: ReadonlySet<number>): boolean {
    if (this.results.has(v)) return true;
    return (this.readersOf.get(v) ?? []).some((i) => {
      if (set.has(i)) return false;
      const node = this.fn.nodes[i]!;
      if (this.roles[i] !== "view") return true;
      return node.op === "rename" ? this.isRead(node.outputs[0]!, set) : true;
    });
  }

  /** A dot or a reduction read by one transpose alone stores its result in that order. */
  private absorbTransposes(): void {
    this.fn.nodes.forEach((node, i) => {
      if (this.roles[i] !== "anchor" && this.roles[i] !== "kernel") return;
      for (const v of node.outputs) {
        const read = this.readersOf.get(v) ?? [];
        if (read.length === 1 && !this.results.has(v) && this.fn.nodes[read[0]!]!.op === "transpose") {
          this.roles[read[0]!] = "pointwise";
          this.groupOf[read[0]!] = this.groupOf[i];
          this.groups[this.groupOf[i]!]!.push(read[0]!);
          this.turned.add(v);
        }
      }
    });
  }

  /** A result that is a transposed, sliced or repeated view, or a constant, is copied into memory of its own. */
  private copyResults(): void {
    for (const { value } of this.fn.results) {
      const i = this.made.get(value);
      if (i === undefined || this.groupOf[i] !== undefined) continue;
      if (this.roles[i] === "free" || !aliasOps.includes(this.fn.nodes[i]!.op)) {
        this.open(i);
        this.roles[i] = "pointwise";
      } else this.storeAliasRoot(i);
    }
  }

  /** An alias result needs what it renames in memory: walk to the first node that is stored, storing a copy if that is a view. */
  private storeAliasRoot(i: number): void {
    const from = this.made.get(this.fn.nodes[i]!.inputs[0]!);
    if (from === undefined || this.groupOf[from] !== undefined) return;
    if (this.roles[from] === "view" && aliasOps.includes(this.fn.nodes[from]!.op)) {
      this.storeAliasRoot(from);
      return;
    }
    this.open(from);
    this.roles[from] = "pointwise";
  }

  // Output

  private emit(): Fn {
    const groups = this.ordered();
    const nodes: Node[] = [];
    // Aliases that a result or an alias result stands on.
    const aliases = new Set<number>();
    const need = (v: Value) => {
      const i = this.made.get(v);
      if (i === undefined || this.groupOf[i] !== undefined || aliases.has(i)) return;
      aliases.add(i);
      need(this.fn.nodes[i]!.inputs[0]!);
    };
    for (const r of this.fn.results) need(r.value);
    for (const group of groups) nodes.push(this.region(group));
    for (const i of [...aliases].sort((a, b) => a - b)) nodes.push(this.fn.nodes[i]!);
    return { ...this.fn, nodes };
  }

  /** Groups in an order in which everything is made before it is read; among those ready, by their last member. */
  private ordered(): number[][] {
    const groups = this.groups.filter((g) => g.length > 0);
    const at = new Map<number, number>();
    groups.forEach((g, k) => {
      for (const i of g) at.set(i, k);
    });
    const out: number[][] = [];
    const state = new Array<number>(groups.length).fill(0);
    const visit = (k: number) => {
      if (state[k] === 2) return;
      state[k] = 1;
      const needed = new Set<number>();
      for (const i of groups[k]!) for (const v of this.operands(i)) needed.add(at.get(this.made.get(v) ?? -1) ?? -1);
      for (const j of [...needed].sort((a, b) => a - b)) if (j >= 0 && j !== k && state[j] === 0) visit(j);
      state[k] = 2;
      out.push(groups[k]!);
    };
    const last = (g: readonly number[]) => g[g.length - 1]!;
    for (const k of [...groups.keys()].sort((a, b) => last(groups[a]!) - last(groups[b]!))) visit(k);
    return out;
  }

  private region(group: readonly number[]): Node {
    const set = new Set(group);
    const inner = new Map<Value, Value>();
    const params: Param[] = [];
    const nodes: Node[] = [];
    const inputs: Value[] = [];
    /** The value inside the body: a clone of views and free nodes, a parameter for what lies in memory. */
    const read = (v: Value): Value => {
      const known = inner.get(v);
      if (known) return known;
      const i = this.made.get(v);
      if (
        i !== undefined &&
        (set.has(i) || ((this.roles[i] === "view" || this.roles[i] === "free") && this.groupOf[i] === undefined))
      )
        return clone(i, v);
      const param: Value = { type: v.type, name: v.name ?? `x${params.length}` };
      params.push({ name: `x${params.length}`, kind: "input", value: param });
      inputs.push(v);
      inner.set(v, param);
      return param;
    };
    const clone = (i: number, v: Value): Value => {
      const node = this.fn.nodes[i]!;
      const copied = node.inputs.map(read);
      const outputs = node.outputs.map((o): Value => ({ ...o }));
      nodes.push({ ...node, inputs: copied, outputs });
      node.outputs.forEach((o, k) => {
        inner.set(o, outputs[k]!);
      });
      return inner.get(v)!;
    };
    const outputs: Value[] = [];
    const anchor = group.find((i) => this.roles[i] === "anchor" || this.roles[i] === "kernel");
    for (const i of group) {
      for (const v of this.fn.nodes[i]!.outputs) {
        if (!inner.has(v)) clone(i, v);
        const wanted = this.roles[i] === "kernel" || this.isRead(v, set) || group.length === 1;
        if (wanted && !this.turned.has(v)) outputs.push(v);
      }
    }
    const name = `region${this.bodies.length}`;
    this.bodies.push({ name, params, nodes, results: outputs.map((v, k) => ({ name: `y${k}`, value: inner.get(v)! })) });
    const kind =
      anchor === undefined
        ? "map"
        : this.roles[anchor] === "kernel"
          ? "op"
          : this.fn.nodes[anchor]!.op === "dot"
            ? "dot"
            : "reduce";
    const loc = this.fn.nodes[anchor ?? group[group.length - 1]!]!.loc;
    return { op: "region", inputs, attrs: { body: name, kind }, outputs, ...(loc ? { loc } : {}) };
  }
}

/** Iteration space: the sizes in order, whatever the names. */
const space = (node: Node): string => node.outputs[0]!.type.shape.map(printSize).join(" ");
