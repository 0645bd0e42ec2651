/**
 * Views: ops that re-read memory and compute nothing. None costs a kernel of its own: whoever reads a view reads
 * the memory behind it at other coordinates (codegen/access.ts). `pad`, `concat` and `iota` decide by the coordinate what they give.
 */
import { fail } from "../../diagnostics/diagnostic.js";
import { add as addSize, printSize, product, type Size, sameSize } from "../../program/size.js";
import type { Value } from "../graph.js";
import { printType, sizeOf, type TensorType } from "../types.js";
import { type AnyOp, type Dense, declareOp, defineOp, type Emit, type Sample } from "./op.js";

export const expand = declareOp("expand", ["x"], { axes: "names", sizes: "sizes" });
export const rename = declareOp("rename", ["x"], { axes: "names" });
export const transpose = declareOp("transpose", ["x"], { axes: "names" });
export const split = declareOp("split", ["x"], { axis: "str", into: "names", sizes: "sizes" });
export const merge = declareOp("merge", ["x"], { axes: "names", into: "str" });
export const drop = declareOp("drop", ["x"], { axis: "str" });
export const slice = declareOp("slice", ["x"], { axis: "str", from: "int", to: "int" });
export const reverse = declareOp("reverse", ["x"], { axis: "str" });
export const pad = declareOp("pad", ["x"], { axis: "str", before: "int", after: "int" });
export const concat = declareOp("concat", "variadic", { axis: "str" });
export const iota = declareOp("iota", [], { axis: "str", type: "type" });
/** Declared here because the adjoint of `expand` is a sum and the adjoint of `sum` an expand. */
export const sum = declareOp("sum", ["x"], { over: "names" });

/** `x` with the axes of `type`, in its order and sizes: nothing when they are the same, else transpose or expand. */
export function expandTo(b: Emit, x: Value, type: TensorType): Value {
  const same = x.type.axes.length === type.axes.length && x.type.axes.every((a, i) => a === type.axes[i]);
  if (same) return x;
  return x.type.axes.length === type.axes.length
    ? transpose(b, x, { axes: type.axes })
    : expand(b, x, { axes: type.axes, sizes: type.shape });
}

const repeated = (names: readonly string[]): string | undefined => names.find((n, i) => names.indexOf(n) !== i);
const missing = (name: string, x: TensorType): string => `"${name}" is not an axis of ${printType(x)}`;
const replaceAxis = (x: TensorType, axis: string, size: Size): TensorType => ({
  ...x,
  shape: x.shape.map((s, i) => (x.axes[i] === axis ? size : s)),
});

const t = (dtype: TensorType["dtype"], axes: string, ...shape: number[]): TensorType => ({
  dtype,
  axes: axes === "" ? [] : axes.split(" "),
  shape,
});

/** The adjoints of slice, pad and concat cut at fixed places, so along the batch they have none. */
function knownSize(op: string, type: TensorType, axis: string): number {
  const size = sizeOf(type, axis)!;
  if (typeof size === "number") return size;
  return fail("DIT2003", `${op} has no gradient along axis "${axis}", whose size ${printSize(size)} depends on the batch`);
}

const nothing = () => ({ macs: 0, flops: 0 });

/** Row-major strides of a concrete shape. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i]!;
  }
  return strides;
}

/** Copies a strided reading of `data` into row-major order; stride 0 repeats. */
export function gatherStrided(
  data: Float64Array,
  shape: readonly number[],
  strides: readonly number[],
  offset = 0,
): Float64Array {
  const out = new Float64Array(shape.reduce((a, n) => a * n, 1));
  const rank = shape.length;
  const at = new Array<number>(rank).fill(0);
  let from = offset;
  for (let i = 0; i < out.length; i++) {
    out[i] = data[from]!;
    for (let d = rank - 1; d >= 0; d--) {
      from += strides[d]!;
      if (++at[d]! < shape[d]!) break;
      from -= strides[d]! * shape[d]!;
      at[d] = 0;
    }
  }
  return out;
}

/** Reads `x` along the named axes, in their order; a name that x lacks repeats it. */
const readAlong = (x: Dense, axes: readonly string[], shape: readonly number[]): Float64Array => {
  const own = stridesOf(x.shape);
  return gatherStrided(
    x.data,
    shape,
    axes.map((name) => own[x.type.axes.indexOf(name)] ?? 0),
  );
};

export const shapeOps: readonly AnyOp[] = [
  defineOp(expand, {
    doc: "x repeated along axes it lacks; `axes` is the order of the result, in which x's own axes may move",
    stage: "both",
    infer: ([x], { axes, sizes }) => {
      const twice = repeated(axes);
      if (twice) return `"${twice}" stands twice in the result`;
      if (axes.length !== sizes.length) return `${axes.length} axes but ${sizes.length} sizes`;
      for (const [i, name] of x!.axes.entries()) {
        const at = axes.indexOf(name);
        if (at < 0) return `the result has no axis "${name}" of ${printType(x!)}`;
        if (!sameSize(sizes[at]!, x!.shape[i]!))
          return `axis "${name}" is ${printSize(x!.shape[i]!)} in the operand and ${printSize(sizes[at]!)} in the result`;
      }
      return { dtype: x!.dtype, axes, shape: sizes };
    },
    eval: ([x], { axes }, ctx) => [readAlong(x!, axes, ctx.shapes[0]!)],
    vjp: (b, { dy, inputs }) => {
      const own = inputs[0]!.type;
      const added = dy.type.axes.filter((name) => !own.axes.includes(name));
      return [expandTo(b, added.length > 0 ? sum(b, dy, { over: added }) : dy, own)];
    },
    cost: nothing,
    fusion: { kind: "view" },
    samples: [
      { inputs: [t("f32", "batch hidden", 2, 3)], attrs: { axes: ["batch", "token", "hidden"], sizes: [2, 4, 3] } },
      { inputs: [t("f32", "hidden", 3)], attrs: { axes: ["token", "hidden"], sizes: [4, 3] } },
      { inputs: [t("f32", "a b", 2, 3)], attrs: { axes: ["b", "c", "a"], sizes: [3, 2, 2] } },
    ],
  }),
  defineOp(rename, {
    doc: "the same tensor under other axis names",
    stage: "both",
    infer: ([x], { axes }) => {
      if (axes.length !== x!.axes.length) return `${axes.length} names for the ${x!.axes.length} axes of ${printType(x!)}`;
      const twice = repeated(axes);
      return twice ? `"${twice}" would stand twice in "${axes.join(" ")}"` : { ...x!, axes };
    },
    eval: ([x]) => [x!.data],
    vjp: (b, { dy, inputs }) => [rename(b, dy, { axes: inputs[0]!.type.axes })],
    cost: nothing,
    fusion: { kind: "view" },
    samples: [{ inputs: [t("f32", "token width", 3, 4)], attrs: { axes: ["key", "width"] } }],
  }),
  defineOp(transpose, {
    doc: "the axes in another order",
    stage: "both",
    infer: ([x], { axes }) => {
      if (axes.length !== x!.axes.length || repeated(axes))
        return `"${axes.join(" ")}" is no order of the axes of ${printType(x!)}`;
      const odd = axes.find((name) => !x!.axes.includes(name));
      return odd ? missing(odd, x!) : { dtype: x!.dtype, axes, shape: axes.map((name) => sizeOf(x!, name)!) };
    },
    eval: ([x], { axes }, ctx) => [readAlong(x!, axes, ctx.shapes[0]!)],
    vjp: (b, { dy, inputs }) => [transpose(b, dy, { axes: inputs[0]!.type.axes })],
    cost: nothing,
    fusion: { kind: "view" },
    samples: [
      { inputs: [t("f32", "a b c", 2, 3, 4)], attrs: { axes: ["c", "a", "b"] } },
      { inputs: [t("f32", "a b", 5, 2)], attrs: { axes: ["b", "a"] } },
    ],
  }),
  defineOp(split, {
    doc: "one axis as several, the last of them fastest",
    stage: "both",
    infer: ([x], { axis, into, sizes }) => {
      const at = x!.axes.indexOf(axis);
      if (at < 0) return missing(axis, x!);
      if (into.length === 0) return "needs at least one axis to split into";
      if (into.length !== sizes.length) return `${into.length} names but ${sizes.length} sizes`;
      const axes = x!.axes.toSpliced(at, 1, ...into);
      const twice = repeated(axes);
      if (twice) return `"${twice}" would stand twice in "${axes.join(" ")}"`;
      if (!sameSize(product(sizes), x!.shape[at]!)) {
        return `axis "${axis}" of size ${printSize(x!.shape[at]!)} does not split into ${into.map((n, i) => `${n} ${printSize(sizes[i]!)}`).join(" × ")} = ${printSize(product(sizes))}`;
      }
      return { dtype: x!.dtype, axes, shape: x!.shape.toSpliced(at, 1, ...sizes) };
    },
    eval: ([x]) => [x!.data],
    vjp: (b, { dy }, { axis, into }) => [merge(b, dy, { axes: into, into: axis })],
    cost: nothing,
    fusion: { kind: "view" },
    samples: [{ inputs: [t("f32", "token hidden", 2, 12)], attrs: { axis: "hidden", into: ["head", "width"], sizes: [3, 4] } }],
  }),
  defineOp(merge, {
    doc: "neighbouring axes as one, in their order",
    stage: "both",
    infer: ([x], { axes, into }) => {
      const at = x!.axes.indexOf(axes[0] ?? "");
      if (at < 0 || axes.some((name, i) => x!.axes[at + i] !== name))
        return `"${axes.join(" ")}" are not neighbouring axes, in this order, of ${printType(x!)}`;
      const names = x!.axes.toSpliced(at, axes.length, into);
      const twice = repeated(names);
      if (twice) return `"${twice}" would stand twice in "${names.join(" ")}"`;
      return {
        dtype: x!.dtype,
        axes: names,
        shape: x!.shape.toSpliced(at, axes.length, product(x!.shape.slice(at, at + axes.length))),
      };
    },
    eval: ([x]) => [x!.data],
    vjp: (b, { dy, inputs }, { axes, into }) => [
      split(b, dy, { axis: into, into: axes, sizes: axes.map((name) => sizeOf(inputs[0]!.type, name)!) }),
    ],
    cost: nothing,
    fusion: { kind: "view" },
    samples: [{ inputs: [t("f32", "token head width", 2, 3, 4)], attrs: { axes: ["head", "width"], into: "hidden" } }],
  }),
  defineOp(drop, {
    doc: "x without an axis of size 1",
    stage: "both",
    infer: ([x], { axis }) => {
      const size = sizeOf(x!, axis);
      if (size === undefined) return missing(axis, x!);
      if (!sameSize(size, 1)) return `axis "${axis}" has size ${printSize(size)}, expected 1`;
      const keep = x!.axes.map((name) => name !== axis);
      return { dtype: x!.dtype, axes: x!.axes.filter((_, i) => keep[i]), shape: x!.shape.filter((_, i) => keep[i]) };
    },
    eval: ([x]) => [x!.data],
    vjp: (b, { dy, inputs }) => [expandTo(b, dy, inputs[0]!.type)],
    cost: nothing,
    fusion: { kind: "view" },
    samples: [
      { inputs: [t("f32", "token three width", 3, 1, 4)], attrs: { axis: "three" } },
      { inputs: [t("f32", "one", 1)], attrs: { axis: "one" } },
    ],
  }),
  defineOp(slice, {
    doc: "the part [from, to) of an axis",
    stage: "both",
    infer: ([x], { axis, from, to }) => {
      const size = sizeOf(x!, axis);
      if (size === undefined) return missing(axis, x!);
      if (from < 0 || to <= from || (typeof size === "number" && to > size))
        return `[${from}, ${to}) is no part of axis "${axis}" of size ${printSize(size)}`;
      return replaceAxis(x!, axis, to - from);
    },
    eval: ([x], { axis, from }, ctx) => {
      const strides = stridesOf(x!.shape);
      return [gatherStrided(x!.data, ctx.shapes[0]!, strides, from * strides[x!.type.axes.indexOf(axis)]!)];
    },
    vjp: (b, { dy, inputs }, { axis, from, to }) => {
      return [pad(b, dy, { axis, before: from, after: knownSize("slice", inputs[0]!.type, axis) - to })];
    },
    cost: nothing,
    fusion: { kind: "view" },
    samples: [
      { inputs: [t("f32", "token hidden", 3, 6)], attrs: { axis: "hidden", from: 2, to: 5 } },
      { inputs: [t("f32", "a b", 4, 3)], attrs: { axis: "a", from: 0, to: 1 } },
    ],
  }),
  defineOp(reverse, {
    doc: "x with the places of an axis in the opposite order: mirrored",
    stage: "both",
    infer: ([x], { axis }) => (sizeOf(x!, axis) === undefined ? missing(axis, x!) : x!),
    eval: ([x], { axis }) => {
      const at = x!.type.axes.indexOf(axis);
      const [strides, last] = [stridesOf(x!.shape), x!.shape[at]! - 1];
      const back = strides.map((step, i) => (i === at ? -step : step));
      return [gatherStrided(x!.data, x!.shape, back, last * strides[at]!)];
    },
    vjp: (b, { dy }, { axis }) => [reverse(b, dy, { axis })],
    cost: nothing,
    fusion: { kind: "view" },
    samples: [
      { inputs: [t("f32", "channel height width", 2, 3, 5)], attrs: { axis: "width" } },
      { inputs: [t("f32", "a b", 4, 3)], attrs: { axis: "a" } },
    ],
  }),
  defineOp(pad, {
    doc: "zeros before and after along an axis",
    stage: "both",
    infer: ([x], { axis, before, after }) => {
      const size = sizeOf(x!, axis);
      if (size === undefined) return missing(axis, x!);
      if (before < 0 || after < 0) return `padding is ${before} and ${after}, expected 0 or more`;
      return replaceAxis(x!, axis, addSize(size, before + after));
    },
    eval: ([x], { axis, before }, ctx) => {
      const at = x!.type.axes.indexOf(axis);
      const out = new Float64Array(ctx.shapes[0]!.reduce((a, n) => a * n, 1));
      const inner = stridesOf(x!.shape)[at]!;
      const rows = x!.data.length / (inner * x!.shape[at]!);
      const [from, to] = [inner * x!.shape[at]!, inner * ctx.shapes[0]![at]!];
      for (let r = 0; r < rows; r++) out.set(x!.data.subarray(r * from, (r + 1) * from), r * to + before * inner);
      return [out];
    },
    vjp: (b, { dy, inputs }, { axis, before }) => {
      return [slice(b, dy, { axis, from: before, to: before + knownSize("pad", inputs[0]!.type, axis) })];
    },
    cost: nothing,
    fusion: { kind: "indexed" },
    samples: [
      { inputs: [t("f32", "token hidden", 3, 2)], attrs: { axis: "hidden", before: 1, after: 2 } },
      { inputs: [t("f32", "a b", 2, 3)], attrs: { axis: "a", before: 0, after: 3 } },
    ],
  }),
  defineOp(concat, {
    doc: "tensors one after another along an axis",
    stage: "both",
    infer: (inputs, { axis }) => {
      const first = inputs[0];
      if (!first) return "nothing to concatenate";
      let total: Size = 0;
      for (const x of inputs) {
        const size = sizeOf(x, axis);
        if (size === undefined) return missing(axis, x);
        if (x.dtype !== first.dtype || printType(replaceAxis(x, axis, 1)) !== printType(replaceAxis(first, axis, 1)))
          return `${printType(first)} and ${printType(x)} differ outside axis "${axis}"`;
        total = addSize(total, size);
      }
      return replaceAxis(first, axis, total);
    },
    eval: (inputs, { axis }, ctx) => {
      const at = inputs[0]!.type.axes.indexOf(axis);
      const out = new Float64Array(ctx.shapes[0]!.reduce((a, n) => a * n, 1));
      const inner = stridesOf(ctx.shapes[0]!)[at]!;
      const step = inner * ctx.shapes[0]![at]!;
      let base = 0;
      for (const x of inputs) {
        const run = inner * x.shape[at]!;
        for (let r = 0; r * run < x.data.length; r++) out.set(x.data.subarray(r * run, (r + 1) * run), r * step + base);
        base += run;
      }
      return [out];
    },
    vjp: (b, { dy, inputs }, { axis }) => {
      let from = 0;
      return inputs.map((x) => {
        const size = knownSize("concat", x.type, axis);
        from += size;
        return slice(b, dy, { axis, from: from - size, to: from });
      });
    },
    cost: nothing,
    fusion: { kind: "indexed" },
    samples: [{ inputs: [t("f32", "token hidden", 2, 3), t("f32", "token hidden", 2, 2)], attrs: { axis: "hidden" } }] satisfies [
      Sample<{ axis: "str" }>,
    ],
  }),
  defineOp(iota, {
    doc: "0, 1, 2, … along an axis",
    stage: "both",
    infer: (_inputs, { axis, type }) =>
      sizeOf(type, axis) === undefined ? missing(axis, type) : type.dtype === "bool" ? "counts, and bool does not" : type,
    eval: (_inputs, { axis, type }, ctx) => {
      const shape = ctx.shapes[0]!;
      const at = type.axes.indexOf(axis);
      const count = Float64Array.from({ length: shape[at]! }, (_, i) => i);
      return [
        gatherStrided(
          count,
          shape,
          shape.map((_, i) => (i === at ? 1 : 0)),
        ),
      ];
    },
    vjp: () => [],
    cost: nothing,
    fusion: { kind: "indexed" },
    samples: [{ inputs: [], attrs: { axis: "class", type: t("i32", "batch class", 2, 5) } }],
  }),
];
