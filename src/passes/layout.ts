/**
 * layout — copy an operand that a dot cannot read in strides, so that the dot becomes a plain matrix product.
 *
 *   %h = merge(%t) …; %y = dot(%h, %w) {over=[hidden]}   ⇒   %h = merge(%t) …; %c = copy(%h); %y = dot(%c, %w) {over=[hidden]}
 *   where %t is a transposed view: its axes do not run on into each other
 *
 * A dot is a matrix product when each operand's own axes, and the contracted ones, are one run in memory each. An operand that fails is
 * stored once in its own order if that is enough, else with its own axes before the contracted ones (patches of an image). The copy costs
 * a pass over the operand; the naive kernel it saves costs a division per multiply-add.
 */
import { Builder } from "../ir/builder.js";
import { type Fn, type Node, readers, type Value } from "../ir/graph.js";
import { dotAxes } from "../ir/ops/contract.js";
import { opRow } from "../ir/ops/index.js";
import { concat } from "../ir/ops/shape.js";
import { rowMajor, run, strided } from "../ir/strides.js";
import { sizeOf } from "../ir/types.js";
import type { Size } from "../program/size.js";
import { dce } from "./dce.js";
import { mapFns, type Pass, rewrite } from "./pass.js";
import { ridesOnDot } from "./stage-sums.js";

export const layout: Pass = {
  name: "layout",
  doc: "Copy operands of dots that no strides can describe, so that the dots become plain matrix products.",
  run: (module) => {
    if (module.stage === "kernel") return module;
    const turned = mapFns(module, turnConcats);
    return mapFns(turned === module ? module : dce.run(turned, {}), (fn) => storeOperands(turnResults(fn)));
  },
};

/** What is put together and then turned is turned first: then its parts can be stored where they belong, whatever made them. */
function turnConcats(fn: Fn): Fn {
  const made = new Map<Value, Node>();
  const read = readers(fn);
  const results = new Set(fn.results.map((r) => r.value));
  return rewrite(fn, (node, out) => {
    for (const v of node.outputs) made.set(v, node);
    const x = node.inputs[0];
    const whole = x && made.get(x);
    const axis = whole?.attrs.axis;
    const turns = node.op === "transpose" || (node.op === "split" && node.attrs.axis !== axis);
    if (!turns || whole?.op !== "concat" || (read.get(x!) ?? []).length > 1 || results.has(x!)) return undefined;
    const b = new Builder();
    b.loc = node.loc;
    const parts = whole.inputs.map((v) => b.emit(node.op, [v], node.attrs)[0]!);
    const turned = concat(b, parts, { axis: axis as string });
    for (const n of b.nodes) for (const v of n.outputs) made.set(v, n);
    // It is read as often as what it stands for.
    read.set(turned, read.get(node.outputs[0]!) ?? []);
    if (results.has(node.outputs[0]!)) results.add(turned);
    out.push(...b.nodes);
    return [turned];
  });
}

/**
 * An op with a kernel family of its own stores its results in any order of axes and reads operands through any view. So where one transpose
 * of a result is wanted, and other such ops read the result too (attention's gradients do), the result is stored turned, and they look at
 * it through the transpose back.
 */
function turnResults(fn: Fn): Fn {
  const read = readers(fn);
  const results = new Set(fn.results.map((r) => r.value));
  const own = (node: Node): boolean => opRow(node.op).fusion.kind === "kernel";
  const at = new Map(fn.nodes.map((n, i) => [n, i]));
  const back = new Map<Value, Value>();
  const views = new Map<Node, Node>();
  for (const v of fn.nodes.filter(own).flatMap((n) => n.outputs)) {
    const by = read.get(v) ?? [];
    const turns = by.filter((n) => n.op === "transpose");
    if (results.has(v) || turns.length !== 1 || by.length === 1 || !by.every((n) => n === turns[0] || own(n))) continue;
    if (by.some((n) => at.get(n)! < at.get(turns[0]!)!)) continue;
    const seen: Value = { ...v };
    back.set(v, seen);
    views.set(turns[0]!, { op: "transpose", inputs: [turns[0]!.outputs[0]!], attrs: { axes: v.type.axes }, outputs: [seen] });
  }
  if (back.size === 0) return fn;
  const nodes = fn.nodes.flatMap((node) => {
    const view = views.get(node);
    if (view) return [node, view];
    return own(node) ? [{ ...node, inputs: node.inputs.map((v) => back.get(v) ?? v) }] : [node];
  });
  return { ...fn, nodes };
}

function storeOperands(fn: Fn): Fn {
  const made = new Map<Value, Node>();
  const out: Node[] = [];
  const copies = new Map<Value, Value[]>();
  const push = (node: Node): Value => {
    out.push(node);
    for (const v of node.outputs) made.set(v, node);
    return node.outputs[0]!;
  };
  const read = readers(fn);
  const results = new Set(fn.results.map((r) => r.value));
  /** A dot, a reduction or an op with a kernel of its own that is read by one transpose alone stores its result in that order (see fuse): no view. */
  const absorbed = (node: Node): boolean => {
    const x = node.inputs[0]!;
    const source = made.get(x);
    return (
      node.op === "transpose" &&
      !!source &&
      ["anchor", "kernel"].includes(opRow(source.op).fusion.kind) &&
      read.get(x)?.length === 1 &&
      !results.has(x)
    );
  };
  const viewOf = (v: Value): Node | undefined => {
    const node = made.get(v);
    return node && opRow(node.op).fusion.kind === "view" && !absorbed(node) ? node : undefined;
  };

  const stored = (v: Value, own: readonly string[], over: readonly string[], loc: Node["loc"]): Value => {
    const fits = (axes: readonly string[], strides: readonly Size[], names: readonly string[]) =>
      run(
        names.map((n) => strides[axes.indexOf(n)]!),
        names.map((n) => sizeOf(v.type, n)!),
      ) !== undefined;
    const good = (axes: readonly string[], strides: readonly Size[]) => fits(axes, strides, own) && fits(axes, strides, over);
    const reading = strided(v, viewOf);
    if (reading && good(v.type.axes, reading.strides)) return v;
    const natural = good(v.type.axes, rowMajor(v.type.shape));
    const rest = v.type.axes.filter((a) => !own.includes(a) && !over.includes(a));
    const order = natural ? v.type.axes : [...rest, ...own, ...over];
    const known = copies.get(v)?.find((c) => good(c.type.axes, rowMajor(c.type.shape)));
    if (known) return known;
    const at = loc ? { loc } : {};
    const type = { ...v.type, axes: order, shape: order.map((n) => sizeOf(v.type, n)!) };
    const turned = natural ? v : push({ op: "transpose", inputs: [v], attrs: { axes: order }, outputs: [{ type }], ...at });
    const copy = push({
      op: "copy",
      inputs: [turned],
      attrs: {},
      outputs: [{ type, ...(v.name ? { name: v.name } : {}) }],
      ...at,
    });
    copies.set(v, [...(copies.get(v) ?? []), copy]);
    return copy;
  };

  let changed = false;
  /** A sum that rides on a dot reads what the dot reads, or it could not ride. */
  const withDotsCopy = (node: Node): Node => {
    const x = node.inputs[0];
    const dot = node.op === "sum" && x ? (read.get(x) ?? []).find((n) => ridesOnDot(node, [n])) : undefined;
    if (!dot || !x || x.type.dtype !== "f32") return node;
    const over = dot.attrs.over as readonly string[];
    const input = stored(
      x,
      x.type.axes.filter((a) => !over.includes(a)),
      over,
      node.loc,
    );
    changed ||= input !== x;
    return input === x ? node : { ...node, inputs: [input] };
  };
  for (const node of fn.nodes) {
    if (node.op !== "dot") {
      push(withDotsCopy(node));
      continue;
    }
    const [x, y] = [node.inputs[0]!, node.inputs[1]!];
    const { batch, m, n, k } = dotAxes(x.type.axes, y.type.axes, node.attrs.over as readonly string[]);
    const worth = batch.length <= 2 && x.type.dtype === "f32";
    const inputs = worth ? [stored(x, m, k, node.loc), stored(y, n, k, node.loc)] : node.inputs;
    changed ||= inputs[0] !== x || inputs[1] !== y;
    // A copy keeps left and right, so the result's axes may come in another order than before.
    for (const step of inputs[0] === x && inputs[1] === y ? [node] : reordered(node, inputs)) push(step);
  }
  return changed ? { ...fn, nodes: out } : fn;
}

/** The dot on its stored operands, transposed back when their order changed the order of its result. */
function reordered(node: Node, inputs: readonly Value[]): readonly Node[] {
  const over = node.attrs.over as readonly string[];
  const [x, y] = [inputs[0]!, inputs[1]!];
  const { n } = dotAxes(x.type.axes, y.type.axes, over);
  const axes = [...x.type.axes.filter((a) => !over.includes(a)), ...n];
  const wanted = node.outputs[0]!;
  if (axes.every((a, i) => a === wanted.type.axes[i])) return [{ ...node, inputs }];
  const type = { ...wanted.type, axes, shape: axes.map((a) => sizeOf(wanted.type, a)!) };
  const made: Value = { type };
  return [
    { ...node, inputs, outputs: [made] },
    {
      op: "transpose",
      inputs: [made],
      attrs: { axes: wanted.type.axes },
      outputs: node.outputs,
      ...(node.loc ? { loc: node.loc } : {}),
    },
  ];
}
