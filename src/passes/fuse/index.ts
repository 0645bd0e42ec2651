/**
 * fuse — from ops to kernels: every node becomes part of a region, one region one kernel.
 *
 *   %a = mul(%x, %y); %b = exp(%a); return %b   ⇒   %b = region(%x, %y) {body=@region0, kind="map"}
 *
 * Views never become kernels: a region that reads a view repeats the view inside and reads the memory behind it at other coordinates.
 * What may be one kernel stands in groups.ts. The order in which groups grow decides what is stored: first the chains that alone read a
 * dot's result (bias, gate, residual: the raw result is then never stored), then rows with what reads them, then what else reads a dot
 * (its result is stored beside), at last the sums that ride on a dot.
 */

import { Builder } from "../../ir/builder.js";
import type { Fn, Module, Node, Value } from "../../ir/graph.js";
import { opRow } from "../../ir/ops/index.js";
import { ParameterRuns } from "../../ir/parameter-runs.js";
import type { Pass } from "../pass.js";
import { ridesOnDot } from "../stage-sums.js";
import { Facts } from "./facts.js";
import { Groups } from "./groups.js";
import { copiedParts, type Limits, ownConstants } from "./placed.js";
import { writeRegions } from "./regions.js";

export const fuse: Pass = {
  name: "fuse",
  doc: "Group ops into regions, one kernel each: elementwise chains, rows with their reductions, dots with what is done to their results.",
  run: (module, options) => {
    if (module.stage === "kernel") return module;
    const bodies: Fn[] = [];
    const fused = options.fused !== false;
    const maxBuffers = options.maxStorageBuffers ?? 8;
    const runs = ParameterRuns.of(module, options.maxBinding);
    const fns = module.fns.map((fn) =>
      new Fuser(ownRows(fused ? ownConstants(fn) : fn, fused), { maxBuffers, runs }, fused, bodies).run(),
    );
    return { ...module, stage: "kernel", fns: [...fns, ...bodies] } satisfies Module;
  },
};

/**
 * A row op (a normalisation) is computed again by each kernel that has its rows in hand, so each such reader gets one of its own. One
 * that is not along trailing axes, or that nothing may be fused with, is written in primitives here.
 */
function ownRows(fn: Fn, fused: boolean): Fn {
  if (!fn.nodes.some((n) => opRow(n.op).fusion.kind === "row")) return fn;
  const facts = new Facts(fn);
  const copies = new Map<number, Map<Value, Value>>();
  const replaced = new Map<Value, Value>();
  const out: Node[] = [];
  fn.nodes.forEach((node, i) => {
    const own = copies.get(i);
    const inputs = node.inputs.map((v) => own?.get(v) ?? replaced.get(v) ?? v);
    const { fusion } = opRow(node.op);
    const moved = inputs.every((v, k) => v === node.inputs[k]) ? node : { ...node, inputs };
    if (fusion.kind !== "row") {
      out.push(moved);
      return;
    }
    const v = node.outputs[0]!;
    const over = node.attrs.over as readonly string[];
    if (!fused || !v.type.axes.slice(-over.length).every((a) => over.includes(a))) {
      const b = new Builder();
      b.loc = node.loc;
      replaced.set(v, fusion.decompose(b, inputs, node.attrs));
      out.push(...b.nodes);
      return;
    }
    out.push(moved);
    const readers = facts.directReaders(v).filter((j) => facts.roles[j] === "pointwise" || facts.roles[j] === "partial");
    for (const j of readers.slice(facts.isResult(v) ? 0 : 1)) {
      const copy: Value = { ...v };
      out.push({ ...moved, outputs: [copy] });
      copies.set(j, (copies.get(j) ?? new Map<Value, Value>()).set(v, copy));
    }
  });
  return { ...fn, nodes: out, results: fn.results.map((r) => ({ ...r, value: replaced.get(r.value) ?? r.value })) };
}

class Fuser {
  private readonly facts: Facts;
  private readonly groups: Groups;
  /** Results of anchors that are stored in another order of axes alone: they stay inside. */
  private readonly turned = new Set<Value>();

  private readonly fn: Fn;

  constructor(
    fn: Fn,
    limits: Limits,
    private readonly fused: boolean,
    private readonly bodies: Fn[],
  ) {
    const facts = new Facts(fn, fused ? limits : undefined);
    this.fn = fused ? copiedParts(facts, limits.maxBuffers) : fn;
    this.facts = this.fn === fn ? facts : new Facts(this.fn, limits);
    this.groups = new Groups(this.facts, limits.maxBuffers, fused);
  }

  run(): Fn {
    this.absorbTransposes();
    if (this.fused) this.eachPointwise((i) => this.followDot(i));
    this.grow();
    if (this.fused) {
      this.eachPointwise((i) => this.joinSources(i, "dot"));
      this.grow();
      this.rideOnDots();
      this.joinWindows();
    }
    this.absorbOperands();
    return writeRegions(this.facts, this.groups, this.turned, this.bodies);
  }

  private eachPointwise(visit: (i: number) => void): void {
    this.fn.nodes.forEach((_, i) => {
      if (this.facts.roles[i] === "pointwise") visit(i);
    });
  }

  /** A dot, a reduction or an op of its own family that one transpose alone reads stores its result in that order. */
  private absorbTransposes(): void {
    this.fn.nodes.forEach((node, i) => {
      const role = this.facts.roles[i];
      if (role !== "dot" && role !== "reduction" && role !== "kernel") return;
      for (const v of node.outputs) {
        const read = this.facts.directReaders(v);
        if (read.length !== 1 || this.facts.isResult(v) || this.fn.nodes[read[0]!]!.op !== "transpose") continue;
        if (this.facts.roles[read[0]!] !== "view") continue;
        this.facts.makePointwise(read[0]!);
        this.groups.addTurned(this.groups.of[i]!, read[0]!);
        this.turned.add(v);
      }
    });
  }

  /** The only reader of a dot's result, or of what has been made of it so far, works on it before it is stored. */
  private followDot(i: number): void {
    const of = this.groups.of[i]!;
    for (const v of this.fn.nodes[i]!.inputs) {
      const { node, value, way } = this.facts.source(v);
      if (node === undefined || way !== "same" || this.facts.isResult(value)) continue;
      const from = this.groups.of[node]!;
      if (from === undefined || this.groups.all[from]!.kind !== "dot" || this.facts.readers(value).some((j) => j !== i)) continue;
      if (from !== of && this.groups.join(from, of)) return;
    }
  }

  /** Groups of elementwise nodes and rows join what they read from, until nothing changes: each join can make room for another. */
  private grow(): void {
    for (let before = -1; before !== this.groups.count(); ) {
      before = this.groups.count();
      this.fn.nodes.forEach((_, i) => {
        if (this.groups.of[i] === undefined) return;
        const { kind, members } = this.groups.groupOf(i);
        if (kind !== "map" && kind !== "rows") return;
        // A row op goes where its reader is, not where its operand was made: the backward computes it again.
        if (this.facts.roles[i] === "row" && members.length === 1) return;
        this.joinSources(i, "other");
        const role = this.facts.roles[i];
        if (this.fused && (role === "partial" || role === "reduction")) this.joinSiblings(i);
      });
    }
  }

  private joinSources(i: number, from: "dot" | "other"): void {
    for (const v of this.facts.operands(i)) {
      const source = this.facts.maker(v);
      const group = source === undefined ? undefined : this.groups.of[source];
      if (group === undefined || (this.groups.all[group]!.kind === "dot") !== (from === "dot")) continue;
      this.groups.join(group, this.groups.of[i]!);
    }
  }

  /** A sum over rows that another kernel has in hand is taken there. */
  private joinSiblings(i: number): void {
    for (const v of this.fn.nodes[i]!.inputs) {
      for (const j of this.facts.readers(this.facts.source(v).value)) {
        const group = this.groups.of[j]!;
        const { kind } = this.groups.all[group]!;
        if (group !== this.groups.of[i] && (kind === "rows" || kind === "map")) this.groups.join(group, this.groups.of[i]!);
      }
    }
  }

  /** The sum of a dot's operand over what the dot contracts: the gradient of a bias beside that of its weight. */
  private rideOnDots(): void {
    this.fn.nodes.forEach((node, i) => {
      if (node.op !== "sum" || this.groups.of[i] === undefined || this.groups.groupOf(i).members.length > 1) return;
      for (const j of this.facts.directReaders(node.inputs[0]!)) {
        if (this.fn.nodes[j]!.op === "dot" && ridesOnDot(node, [this.fn.nodes[j]!])) {
          if (this.groups.attach(this.groups.of[j]!, this.groups.of[i]!)) return;
        }
      }
    });
  }

  /** Parts of one whole that have one space are made by one kernel, which binds the whole once. */
  private joinWindows(): void {
    const first = new Map<Value, number>();
    for (const [v, { part }] of this.facts.windowed) {
      const group = this.groups.of[this.facts.maker(v)!]!;
      if (this.groups.all[group]!.kind !== "map") continue;
      const other = first.get(part);
      if (other === undefined || !this.groups.join(this.groups.of[other]!, group)) first.set(part, this.facts.maker(v)!);
    }
  }

  /** Any other reduction computes its operand as it reads it, when nobody else reads it and each element is read once. */
  private absorbOperands(): void {
    this.fn.nodes.forEach((node, i) => {
      if (this.facts.roles[i] !== "reduction" || this.groups.groupOf(i).kind !== "reduce") return;
      const { node: source, way } = this.facts.source(node.inputs[0]!);
      const group = source === undefined || way !== "same" ? undefined : this.groups.of[source];
      if (group === undefined || this.groups.all[group]!.kind !== "map") return;
      const inside = (j: number): boolean => this.groups.of[j] === group;
      const outputs = this.groups.all[group]!.members.filter((j) => this.facts.isRead(this.fn.nodes[j]!.outputs[0]!, inside));
      if (outputs.length !== 1 || outputs[0] !== source) return;
      if (this.facts.isRead(this.fn.nodes[source!]!.outputs[0]!, (j) => j === i || inside(j))) return;
      this.groups.attach(this.groups.of[i]!, group);
    });
  }
}
