/**
 * Which part of each operand an op has to look at to give a part of its result. A part is a box: a range along each axis. With these rules
 * a few numbers of a large result can be computed exactly from the few numbers that they depend on (eval-box.ts).
 *
 * A rule may compute more than it was asked for where a box of the result is no box of the operand, and says so. An op without a rule
 * looks at everything and gives everything.
 */
import type { Attrs, Node } from "./graph.js";
import { attentionAxes } from "./ops/attention.js";
import { opRow } from "./ops/index.js";
import type { TensorType } from "./types.js";

/** Elements from .. from+size-1 along one axis. */
export interface Span {
  readonly from: number;
  readonly size: number;
}
export type Box = readonly Span[];

/** A tensor's axes with sizes that are known. */
export interface Shaped {
  readonly axes: readonly string[];
  readonly shape: readonly number[];
}

export interface Needed {
  /** The box of the result that is computed: the one asked for, or one around it. */
  readonly gives: Box;
  /** Of each operand that is looked at; undefined for one that is not. */
  readonly looks: readonly (Box | undefined)[];
  /** The op's attributes for operands that are only these boxes. */
  readonly attrs?: Attrs;
}

export const whole = ({ shape }: Pick<Shaped, "shape">): Box => shape.map((size) => ({ from: 0, size }));

/** What the node needs for a box of its result number `output`. */
export function neededFor(node: Node, output: number, box: Box, inputs: readonly Shaped[], results: readonly Shaped[]): Needed {
  const rule = rules[node.op] ?? (opRow(node.op).fusion.kind === "elementwise" ? elementwise : everything);
  return rule({ attrs: node.attrs, types: node.outputs.map((v) => v.type), output, box, inputs, results });
}

interface Asked {
  readonly attrs: Attrs;
  readonly types: readonly TensorType[];
  readonly output: number;
  readonly box: Box;
  readonly inputs: readonly Shaped[];
  readonly results: readonly Shaped[];
}
type Rule = (asked: Asked) => Needed;

const everything: Rule = ({ output, inputs, results }) => ({ gives: whole(results[output]!), looks: inputs.map(whole) });

const elementwise: Rule = ({ box, inputs }) => ({ gives: box, looks: inputs.map(() => box) });

/** The span of an axis by its name. */
const along = (box: Box, axes: readonly string[], name: string): Span | undefined => box[axes.indexOf(name)];

/** A box of `x` that has the result's spans where the axes are the same, and all of every other axis. */
const byName = (x: Shaped, box: Box, axes: readonly string[], all: readonly string[] = []): Box =>
  x.axes.map((name, i) => (all.includes(name) ? undefined : along(box, axes, name)) ?? { from: 0, size: x.shape[i]! });

const reduction: Rule = ({ box, inputs, results, output }) => ({
  gives: box,
  looks: [byName(inputs[0]!, box, results[output]!.axes)],
});

/** Statistics go over whole rows, and so does what is computed. */
const rows: Rule = ({ attrs, box, inputs, results, output }) => {
  const gives = byName(results[output]!, box, results[output]!.axes, attrs.over as readonly string[]);
  return { gives, looks: inputs.map(() => gives) };
};

/** All of the axis `axis`, which is cut into axes of `sizes`, or the range of it that holds these spans. */
function joined(spans: Box, sizes: readonly number[]): { readonly spans: Box; readonly range: Span } {
  // Behind the first axis with more than one place, all of each axis: then the places follow one another.
  const first = spans.findIndex(({ size }) => size !== 1);
  const around = spans.map((span, i) => (first >= 0 && i > first ? { from: 0, size: sizes[i]! } : span));
  const from = around.reduce((at, span, i) => at * sizes[i]! + span.from, 0);
  return { spans: around, range: { from, size: around.reduce((n, { size }) => n * size, 1) } };
}

/** The places of axes of `sizes` that hold this range of them taken together, and the range that those are. */
function parted({ from, size }: Span, sizes: readonly number[]): { readonly spans: Box; readonly range: Span } {
  const [outer, ...rest] = sizes;
  if (outer === undefined) return { spans: [], range: { from: 0, size: 1 } };
  const inner = rest.reduce((n, s) => n * s, 1);
  const [first, last] = [Math.floor(from / inner), Math.floor((from + size - 1) / inner)];
  if (first === last) {
    const { spans, range } = parted({ from: from - first * inner, size }, rest);
    return { spans: [{ from: first, size: 1 }, ...spans], range: { from: first * inner + range.from, size: range.size } };
  }
  const spans = [{ from: first, size: last - first + 1 }, ...rest.map((s) => ({ from: 0, size: s }))];
  return { spans, range: { from: first * inner, size: (last - first + 1) * inner } };
}

/** Attention looks at all keys for a query; the operands behind k and v are there for gradients. */
const attention: Rule = ({ attrs, output, box, inputs, results }) => {
  const [q, k, v] = inputs as readonly [Shaped, Shaped, Shaped];
  const { axes } = results[output]!;
  // Of the logarithms of the sums, v says nothing: one column of it does.
  const { own, over } = attentionAxes(q.axes, k.axes, v.axes, attrs as never);
  const column = byName(v, box, axes).map((span, i) => (output === 1 && own.includes(v.axes[i]!) ? { from: 0, size: 1 } : span));
  return { gives: box, looks: [byName(q, box, axes, over), byName(k, box, axes, over), column] };
};

const attentionGradQ: Rule = ({ attrs, output, box, inputs, results }) => {
  const { axes } = results[output]!;
  const over = attrs.over as readonly string[];
  const looks = inputs.map((x) => byName(x, box, axes, over));
  // The sum of o times its gradient needs no key: one of them does.
  const key = attrs.key as readonly string[];
  const one = (i: number): Box => looks[i]!.map((span, j) => (key.includes(inputs[i]!.axes[j]!) ? { from: 0, size: 1 } : span));
  return {
    gives: byName(results[output]!, box, axes, over),
    looks: output === 1 ? looks.with(1, one(1)).with(2, one(2)) : looks,
  };
};

const attentionGradKV: Rule = ({ attrs, output, box, inputs, results }) => {
  const [q, k, v] = inputs as readonly [Shaped, Shaped, Shaped];
  const { over, own } = attentionAxes(q.axes, k.axes, v.axes, attrs as never);
  const { axes } = results[output]!;
  const all = [...over, ...own];
  return { gives: byName(results[output]!, box, axes, all), looks: inputs.map((x) => byName(x, box, axes, all)) };
};

const rules: Readonly<Record<string, Rule>> = {
  expand: ({ box, inputs, results }) => ({ gives: box, looks: [byName(inputs[0]!, box, results[0]!.axes)] }),
  transpose: ({ box, inputs, results }) => ({ gives: box, looks: [byName(inputs[0]!, box, results[0]!.axes)] }),
  rename: ({ box }) => ({ gives: box, looks: [box] }),
  drop: ({ attrs, box, inputs }) => {
    const at = inputs[0]!.axes.indexOf(attrs.axis as string);
    return { gives: box, looks: [box.toSpliced(at, 0, { from: 0, size: 1 })] };
  },
  slice: ({ attrs, box, inputs }) => {
    const at = inputs[0]!.axes.indexOf(attrs.axis as string);
    const { from, size } = box[at]!;
    const looks = box.with(at, { from: from + (attrs.from as number), size });
    return { gives: box, looks: [looks], attrs: { ...attrs, from: 0, to: size } };
  },
  reverse: ({ attrs, box, inputs: [x] }) => {
    const at = x!.axes.indexOf(attrs.axis as string);
    const { from, size } = box[at]!;
    return { gives: box, looks: [box.with(at, { from: x!.shape[at]! - from - size, size })] };
  },
  split: ({ attrs, box, inputs: [x], results: [result] }) => {
    const at = x!.axes.indexOf(attrs.axis as string);
    const count = (attrs.into as readonly string[]).length;
    const { spans, range } = joined(box.slice(at, at + count), result!.shape.slice(at, at + count));
    return { gives: box.toSpliced(at, count, ...spans), looks: [box.toSpliced(at, count, range)] };
  },
  merge: ({ attrs, box, inputs: [x] }) => {
    const names = attrs.axes as readonly string[];
    const at = x!.axes.indexOf(names[0]!);
    const { spans, range } = parted(box[at]!, x!.shape.slice(at, at + names.length));
    return { gives: box.with(at, range), looks: [box.toSpliced(at, 1, ...spans)] };
  },
  pad: ({ attrs, box, inputs: [x] }) => {
    const at = x!.axes.indexOf(attrs.axis as string);
    const [{ from, size }, before] = [box[at]!, attrs.before as number];
    const first = Math.min(Math.max(0, from - before), x!.shape[at]!);
    const end = Math.max(first, Math.min(x!.shape[at]!, from + size - before));
    const looks = box.with(at, { from: first, size: end - first });
    const ahead = first + before - from;
    return { gives: box, looks: [looks], attrs: { ...attrs, before: Math.max(0, ahead), after: size - (end - first) - ahead } };
  },
  concat: ({ attrs, box, inputs, results: [result] }) => {
    const at = result!.axes.indexOf(attrs.axis as string);
    const { from, size } = box[at]!;
    let base = 0;
    const looks = inputs.map(({ shape }) => {
      const first = Math.max(0, from - base);
      const end = Math.min(shape[at]!, from + size - base);
      base += shape[at]!;
      return end > first ? box.with(at, { from: first, size: end - first }) : undefined;
    });
    return { gives: box, looks };
  },
  gather: ({ attrs, box, inputs: [table, index], results: [result] }) => ({
    gives: box,
    looks: [
      byName(table!, box, result!.axes, [attrs.axis as string]),
      index!.axes.map((name) => along(box, result!.axes, name)!),
    ],
  }),
  sum: reduction,
  max: reduction,
  sum_runs: ({ attrs, box, inputs: [x] }) => {
    const at = x!.axes.indexOf(attrs.axis as string);
    const run = attrs.run as number;
    return { gives: box, looks: [box.with(at, { from: box[at]!.from * run, size: box[at]!.size * run })] };
  },
  normalize: rows,
  normalize_grad: rows,
  dot: ({ attrs, box, inputs, results: [result] }) => ({
    gives: box,
    looks: inputs.map((x) => byName(x, box, result!.axes, attrs.over as readonly string[])),
  }),
  attention,
  attention_grad_q: attentionGradQ,
  attention_grad_kv: attentionGradKV,
};
