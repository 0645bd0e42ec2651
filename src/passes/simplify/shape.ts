/** Rules on views and reductions: what re-reads memory twice can read it once, and constants have no layout. */
import type { Node, Value } from "../../ir/graph.js";
import { mul } from "../../ir/ops/elementwise.js";
import { fill } from "../../ir/ops/pointwise.js";
import { concat, expand, expandTo, rename, slice, transpose } from "../../ir/ops/shape.js";
import { sizeOf } from "../../ir/types.js";
import { product, sameSize } from "../../program/size.js";
import type { Rewriter, Rule } from "./rule.js";

const sameNames = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name, i) => name === b[i]);
const names = (node: Node, key: string): readonly string[] => node.attrs[key] as readonly string[];
const number = (node: Node, key: string): number => node.attrs[key] as number;
const text = (node: Node, key: string): string => node.attrs[key] as string;

/** x under the axis names of `node`'s output. */
const renamed = (r: Rewriter, node: Node, x: Value): Value => {
  const { axes } = node.outputs[0]!.type;
  return sameNames(axes, x.type.axes) ? x : rename(r, x, { axes });
};

const constantOf = (r: Rewriter, node: Node, value: number): Value => fill(r, { value, type: node.outputs[0]!.type });

export const shapeRules: readonly Rule[] = [
  {
    name: "a view of a constant is a constant",
    ops: ["expand", "rename", "transpose", "split", "merge", "drop", "slice", "reverse", "gather", "max"],
    apply: (r, node) => {
      const value = r.constant(node.inputs[0]);
      return value === undefined ? undefined : constantOf(r, node, value);
    },
  },
  {
    name: "zeros padded are zeros",
    ops: ["pad"],
    apply: (r, node) => (r.constant(node.inputs[0]) === 0 ? constantOf(r, node, 0) : undefined),
  },
  {
    name: "one constant after another is one constant",
    ops: ["concat"],
    apply: (r, node) => {
      const value = r.constant(node.inputs[0]);
      return value !== undefined && node.inputs.every((v) => r.constant(v) === value) ? constantOf(r, node, value) : undefined;
    },
  },
  {
    name: "sum of a constant → constant, where the count is known",
    ops: ["sum"],
    apply: (r, node) => {
      const [value, count] = [r.constant(node.inputs[0]), countOf(node)];
      return value === undefined || count === undefined ? undefined : constantOf(r, node, value * count);
    },
  },
  {
    name: "sum over repetitions → x · count",
    ops: ["sum"],
    apply: (r, node) => {
      const repeat = r.made(node.inputs[0], "expand");
      const [x, count] = [repeat?.inputs[0], countOf(node)];
      if (!x || count === undefined || names(node, "over").some((name) => x.type.axes.includes(name))) return undefined;
      const { type } = node.outputs[0]!;
      return mul(r, expandTo(r, x, type), fill(r, { value: count, type }));
    },
  },
  { name: "view that changes nothing → x", ops: ["expand", "rename", "transpose"], apply: (_r, node) => unmoved(node) },
  {
    name: "rename of a rename",
    ops: ["rename"],
    apply: (r, node) => {
      const first = r.made(node.inputs[0], "rename");
      return first && renamed(r, node, first.inputs[0]!);
    },
  },
  {
    name: "transpose of a transpose",
    ops: ["transpose"],
    apply: (r, node) => {
      const first = r.made(node.inputs[0], "transpose");
      return first && expandTo(r, first.inputs[0]!, node.outputs[0]!.type);
    },
  },
  {
    name: "transpose of an expand → expand",
    ops: ["transpose"],
    apply: (r, node) => {
      const { axes, shape } = node.outputs[0]!.type;
      const first = r.made(node.inputs[0], "expand");
      return first && expand(r, first.inputs[0]!, { axes, sizes: shape });
    },
  },
  {
    name: "expand of an expand or a transpose → expand",
    ops: ["expand"],
    apply: (r, node) => {
      const first = r.made(node.inputs[0], "expand", "transpose");
      return first && expandTo(r, first.inputs[0]!, node.outputs[0]!.type);
    },
  },
  {
    name: "drop of an axis that an expand adds → expand",
    ops: ["drop"],
    apply: (r, node) => {
      const first = r.made(node.inputs[0], "expand");
      const added = first && !first.inputs[0]!.type.axes.includes(text(node, "axis"));
      return added ? expandTo(r, first.inputs[0]!, node.outputs[0]!.type) : undefined;
    },
  },
  {
    name: "expand that adds no axis → transpose",
    ops: ["expand"],
    apply: (r, node) => {
      const x = node.inputs[0]!;
      return x.type.axes.length === names(node, "axes").length ? transpose(r, x, { axes: names(node, "axes") }) : undefined;
    },
  },
  {
    name: "split into one, merge of one → rename",
    ops: ["split", "merge"],
    apply: (r, node) => (group(node).length === 1 ? renamed(r, node, node.inputs[0]!) : undefined),
  },
  {
    name: "split of a merge → rename",
    ops: ["split"],
    apply: (r, node) => {
      const first = r.made(node.inputs[0], "merge");
      const x = first?.inputs[0];
      if (!first || !x || text(first, "into") !== text(node, "axis")) return undefined;
      const [before, after] = [group(first), group(node)];
      const fits =
        before.length === after.length &&
        before.every((name, i) => sameSize(sizeOf(x.type, name)!, sizeOf(node.outputs[0]!.type, after[i]!)!));
      return fits ? renamed(r, node, x) : undefined;
    },
  },
  {
    name: "merge of a split → rename",
    ops: ["merge"],
    apply: (r, node) => {
      const first = r.made(node.inputs[0], "split");
      return first && sameNames(group(first), group(node)) ? renamed(r, node, first.inputs[0]!) : undefined;
    },
  },
  {
    name: "slice of everything → x",
    ops: ["slice"],
    apply: (_r, node) =>
      number(node, "from") === 0 && sizeOf(node.inputs[0]!.type, text(node, "axis")) === number(node, "to")
        ? node.inputs[0]
        : undefined,
  },
  {
    name: "slice of a slice → slice",
    ops: ["slice"],
    apply: (r, node) => {
      const first = r.made(node.inputs[0], "slice");
      return first && text(first, "axis") === text(node, "axis")
        ? sliceAt(r, node, first.inputs[0]!, number(first, "from"))
        : undefined;
    },
  },
  {
    name: "slice that leaves the padding out → slice",
    ops: ["slice"],
    apply: (r, node) => {
      const first = r.made(node.inputs[0], "pad");
      if (!first || text(first, "axis") !== text(node, "axis")) return undefined;
      const size = sizeOf(first.inputs[0]!.type, text(node, "axis"));
      const [from, to] = [number(node, "from") - number(first, "before"), number(node, "to") - number(first, "before")];
      return from >= 0 && typeof size === "number" && to <= size
        ? sliceAt(r, node, first.inputs[0]!, -number(first, "before"))
        : undefined;
    },
  },
  {
    name: "mirrored twice → x",
    ops: ["reverse"],
    apply: (r, node) => {
      const first = r.made(node.inputs[0], "reverse");
      return first && text(first, "axis") === text(node, "axis") ? first.inputs[0] : undefined;
    },
  },
  {
    name: "padding with nothing → x",
    ops: ["pad"],
    apply: (_r, node) => (number(node, "before") === 0 && number(node, "after") === 0 ? node.inputs[0] : undefined),
  },
  {
    name: "a sum of paddings that fill an axis between them → concat",
    ops: ["add"],
    apply: (r, node) => filled(r, node),
  },
  { name: "concat of one → x", ops: ["concat"], apply: (_r, node) => (node.inputs.length === 1 ? node.inputs[0] : undefined) },
];

/** The axes that a split makes or a merge takes. */
const group = (node: Node): readonly string[] => (node.op === "split" ? names(node, "into") : names(node, "axes"));

/** How many elements of its operand one result of a sum takes in; undefined when that depends on the batch. */
function countOf(node: Node): number | undefined {
  const count = product(names(node, "over").map((name) => sizeOf(node.inputs[0]!.type, name)!));
  return typeof count === "number" ? count : undefined;
}

const unmoved = (node: Node): Value | undefined =>
  sameNames(node.outputs[0]!.type.axes, node.inputs[0]!.type.axes) ? node.inputs[0] : undefined;

const sliceAt = (r: Rewriter, node: Node, x: Value, offset: number): Value =>
  slice(r, x, { axis: text(node, "axis"), from: number(node, "from") + offset, to: number(node, "to") + offset });

/** The parts of an axis, one after the other, that a tree of sums puts together from paddings along it; undefined when some is missing. */
function filled(r: Rewriter, node: Node): Value | undefined {
  const parts = paddingsIn(r, node)?.sort((a, b) => number(a, "before") - number(b, "before"));
  if (!parts || parts.some((p) => text(p, "axis") !== text(parts[0]!, "axis"))) return undefined;
  const axis = text(parts[0]!, "axis");
  let at = 0;
  for (const p of parts) {
    const size = sizeOf(p.inputs[0]!.type, axis);
    if (number(p, "before") !== at || typeof size !== "number") return undefined;
    at += size;
  }
  return at === sizeOf(node.outputs[0]!.type, axis)
    ? concat(
        r,
        parts.map((p) => p.inputs[0]!),
        { axis },
      )
    : undefined;
}

/** The paddings that a tree of sums adds; undefined when it adds anything else. */
function paddingsIn(r: Rewriter, node: Node): Node[] | undefined {
  const out: Node[] = [];
  for (const v of node.inputs) {
    const made = r.made(v, "pad", "add");
    const inner = made?.op === "add" ? paddingsIn(r, made) : made && [made];
    if (!inner) return undefined;
    out.push(...inner);
  }
  return out;
}
