/** Groups written down: each becomes a region node that calls a body, in an order in which everything is made before it is read. */
import { Builder } from "../../ir/builder.js";
import type { Fn, Node, Param, Value } from "../../ir/graph.js";
import { opRow } from "../../ir/ops/index.js";
import type { RegionKind } from "../../ir/region.js";
import { cse } from "../cse.js";
import type { Facts } from "./facts.js";
import type { Group, Groups } from "./groups.js";

/** The function as regions and aliases; bodies are appended to `bodies`. `turned`: values stored in another order of axes alone. */
export function writeRegions(facts: Facts, groups: Groups, turned: ReadonlySet<Value>, bodies: Fn[]): Fn {
  const { fn } = facts;
  const nodes: Node[] = [];
  // Aliases that a result or an alias result stands on.
  const aliases = new Set<number>();
  const need = (v: Value) => {
    const i = facts.maker(v);
    if (i === undefined || groups.of[i] !== undefined || aliases.has(i)) return;
    aliases.add(i);
    need(fn.nodes[i]!.inputs[0]!);
  };
  for (const r of fn.results) need(r.value);
  for (const group of ordered(facts, groups)) {
    if (group.kind === "placed") nodes.push(...placed(facts, groups, group));
    else nodes.push(region(facts, groups, group, turned, bodies));
  }
  for (const i of [...aliases].sort((a, b) => a - b)) nodes.push(fn.nodes[i]!);
  return { ...fn, nodes };
}

/** The node and the views before it, down to what regions make: aliases all. */
function placed(facts: Facts, groups: Groups, group: Group): Node[] {
  const out: Node[] = [];
  const visit = (v: Value): void => {
    const i = facts.maker(v);
    if (i === undefined || groups.of[i] !== undefined) return;
    visit(facts.node(i).inputs[0]!);
    out.push(facts.node(i));
  };
  const node = facts.node(group.members[0]!);
  node.inputs.forEach(visit);
  return [...out, node];
}

/** Everything before it is read; among those ready, by their last member. */
function ordered(facts: Facts, { all }: Groups): Group[] {
  const groups = all.filter((g) => g.members.length > 0);
  const at = new Map<number, number>();
  groups.forEach((g, k) => {
    for (const i of g.members) at.set(i, k);
  });
  const out: Group[] = [];
  const state = new Array<number>(groups.length).fill(0);
  const visit = (k: number) => {
    if (state[k] === 2) return;
    state[k] = 1;
    const needed = new Set<number>();
    for (const i of groups[k]!.members) for (const v of facts.operands(i)) needed.add(at.get(facts.maker(v) ?? -1) ?? -1);
    for (const j of [...needed].sort((a, b) => a - b)) if (j >= 0 && j !== k && state[j] === 0) visit(j);
    state[k] = 2;
    out.push(groups[k]!);
  };
  const last = (g: Group) => g.members.at(-1)!;
  for (const k of [...groups.keys()].sort((a, b) => last(groups[a]!) - last(groups[b]!))) visit(k);
  return out;
}

function region(facts: Facts, groups: Groups, group: Group, turned: ReadonlySet<Value>, bodies: Fn[]): Node {
  const set = new Set(group.members);
  const inner = new Map<Value, Value>();
  const params: Param[] = [];
  const nodes: Node[] = [];
  const inputs: Value[] = [];
  /** The value inside the body: a clone of what is never stored, a parameter for what lies in memory. */
  const read = (v: Value): Value => {
    const known = inner.get(v);
    if (known) return known;
    const i = facts.maker(v);
    if (i !== undefined && (set.has(i) || groups.of[i] === undefined)) return clone(i, v);
    const param: Value = { type: v.type, name: v.name ?? `x${params.length}` };
    params.push({ name: `x${params.length}`, kind: "input", value: param });
    inputs.push(v);
    inner.set(v, param);
    return param;
  };
  const clone = (i: number, v: Value): Value => {
    const node = facts.node(i);
    const operands = node.inputs.map(read);
    const { fusion } = opRow(node.op);
    if (fusion.kind === "row") {
      const b = new Builder();
      b.loc = node.loc;
      inner.set(v, fusion.decompose(b, operands, node.attrs));
      nodes.push(...b.nodes);
    } else {
      const outputs = node.outputs.map((o): Value => ({ ...o }));
      nodes.push({ ...node, inputs: operands, outputs });
      node.outputs.forEach((o, k) => {
        inner.set(o, outputs[k]!);
      });
    }
    return inner.get(v)!;
  };
  const outputs: Value[] = [];
  for (const i of group.members) {
    for (const v of facts.node(i).outputs) {
      if (!inner.has(v)) clone(i, v);
      const wanted = facts.roles[i] === "kernel" || facts.isRead(v, (j) => set.has(j)) || group.members.length === 1;
      if (wanted && !turned.has(v)) outputs.push(v);
    }
  }
  const name = `region${bodies.length}`;
  const results = outputs.map((v, k) => ({ name: `y${k}`, value: inner.get(v)! }));
  const body = cse.run({ stage: "kernel", fns: [{ name, params, nodes, results }] }, {}).fns[0]!;
  bodies.push(body);
  const main = group.members.find((i) => facts.roles[i] !== "pointwise") ?? group.members.at(-1)!;
  const { loc } = facts.node(main);
  return { op: "region", inputs, attrs: { body: name, kind: kindOf(group, body) }, outputs, ...(loc ? { loc } : {}) };
}

/** Rows of which only one reduction is wanted are a plain reduction. */
function kindOf(group: Group, body: Fn): RegionKind {
  if (group.kind !== "rows") return group.kind as RegionKind;
  const kinds = body.nodes.map((n) => opRow(n.op).fusion.kind);
  const reductions = body.nodes.filter((_, k) => kinds[k] === "anchor");
  const only = reductions.length === 1 && !kinds.includes("partial");
  return only && body.results.length === 1 && reductions[0]!.outputs[0] === body.results[0]!.value ? "reduce" : "rows";
}
