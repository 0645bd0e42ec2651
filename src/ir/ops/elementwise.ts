/**
 * Elementwise ops: one output element from the input elements at the same place. Operands have identical axes; broadcasting is an
 * explicit `expand`. Formulas that drivers get wrong (tanh overflows on some, small expm1 cancels) are WGSL functions of our own, see
 * codegen/kernels/math.wgsl; the reference uses JavaScript's f64 Math.
 */
import type { AttrKinds, Value } from "../graph.js";
import { type DType, numel, printType, sameShape, type TensorType } from "../types.js";
import { literal } from "./literal.js";
import { type AnyOp, declareOp, defineOp, type Emit, type OpDecl, type Sample, type Schema, type VjpContext } from "./op.js";

export const neg = declareOp("neg", ["x"]);
export const exp = declareOp("exp", ["x"]);
export const expm1 = declareOp("expm1", ["x"]);
export const log = declareOp("log", ["x"]);
export const sqrt = declareOp("sqrt", ["x"]);
export const rsqrt = declareOp("rsqrt", ["x"]);
export const tanh = declareOp("tanh", ["x"]);
export const sigmoid = declareOp("sigmoid", ["x"]);
export const abs = declareOp("abs", ["x"]);
export const square = declareOp("square", ["x"]);
export const reciprocal = declareOp("reciprocal", ["x"]);
export const finite = declareOp("is_finite", ["x"]);
export const not = declareOp("not", ["x"]);
export const stopGradient = declareOp("stop_gradient", ["x"]);
export const copy = declareOp("copy", ["x"]);
export const cast = declareOp("cast", ["x"], { dtype: "dtype" });
export const add = declareOp("add", ["x", "y"]);
export const sub = declareOp("sub", ["x", "y"]);
export const mul = declareOp("mul", ["x", "y"]);
export const div = declareOp("div", ["x", "y"]);
export const maximum = declareOp("maximum", ["x", "y"]);
export const minimum = declareOp("minimum", ["x", "y"]);
export const eq = declareOp("eq", ["x", "y"]);
export const lt = declareOp("lt", ["x", "y"]);
export const le = declareOp("le", ["x", "y"]);
export const and = declareOp("and", ["x", "y"]);
export const or = declareOp("or", ["x", "y"]);
export const where = declareOp("where", ["cond", "x", "y"]);
export const fill = declareOp("fill", [], { value: "num", type: "type" });

/** A constant like `v`: same axes, same dtype. */
export const like = (b: Emit, v: Value, value: number): Value => fill(b, { value, type: v.type });

const t = (dtype: DType, ...shape: number[]): TensorType => ({
  dtype,
  axes: ["row", "col", "deep"].slice(0, shape.length),
  shape,
});
const f = t("f32", 3, 5);
const unary: readonly [Sample, ...Sample[]] = [{ inputs: [f] }, { inputs: [t("f32", 7)] }];
const positive: readonly [Sample, ...Sample[]] = [{ inputs: [f], domain: [0.3, 4] }];
const binary: readonly [Sample, ...Sample[]] = [{ inputs: [f, f] }, { inputs: [t("f32", 2, 1, 3), t("f32", 2, 1, 3)] }];
const bools: readonly [Sample, ...Sample[]] = [{ inputs: [t("bool", 3, 5), t("bool", 3, 5)], domain: [0, 2] }];

const arithmetic: readonly DType[] = ["f32", "f16", "i32", "u32"];
const floats: readonly DType[] = ["f32", "f16"];

interface Elementwise<S extends Schema> {
  doc: string;
  /** Which dtypes the operands may have; all operands have the same one. */
  accepts: readonly DType[];
  /** The result's dtype, when it is not the operands'. */
  gives?: DType;
  scalar: (...x: number[]) => number;
  wgsl: (...x: string[]) => string;
  vjp: ((b: Emit, ctx: VjpContext) => readonly (Value | undefined)[]) | { readonly nondifferentiable: string };
  samples: readonly [Sample<S>, ...Sample<S>[]];
  flops?: number;
}

function elementwise<const I extends readonly string[]>(
  decl: OpDecl<I, Record<never, never>>,
  rules: Elementwise<Record<never, never>>,
): AnyOp {
  return defineOp(decl, {
    doc: rules.doc,
    stage: "both",
    infer: (inputs) => {
      const first = inputs[0]!;
      if (!rules.accepts.includes(first.dtype)) return `takes ${rules.accepts.join(", ")}, not ${first.dtype}`;
      const odd = inputs.find((type) => !sameShape(type, first) || type.dtype !== first.dtype);
      if (odd) return `operands differ: ${printType(first)} and ${printType(odd)}`;
      return rules.gives ? { ...first, dtype: rules.gives } : first;
    },
    eval: (inputs, _attrs, ctx) => {
      const [x, y] = [inputs[0]!.data, inputs[1]?.data];
      const out = new Float64Array(x.length);
      for (let i = 0; i < out.length; i++) out[i] = ctx.round(y ? rules.scalar(x[i]!, y[i]!) : rules.scalar(x[i]!));
      return [out];
    },
    vjp: rules.vjp,
    cost: (_inputs, outputs) => ({ macs: 0, flops: numel(outputs[0]!) }),
    fusion: { kind: "elementwise", wgsl: (args) => rules.wgsl(...args) },
    samples: rules.samples,
  });
}

const flat = { nondifferentiable: "its result is piecewise constant" };

export const elementwiseOps: readonly AnyOp[] = [
  elementwise(neg, {
    doc: "-x",
    accepts: ["f32", "f16", "i32"],
    scalar: (x) => -x!,
    wgsl: (x) => `-${x}`,
    vjp: (b, { dy }) => [neg(b, dy)],
    samples: unary,
  }),
  elementwise(exp, {
    doc: "e^x",
    accepts: floats,
    scalar: (x) => Math.exp(x!),
    wgsl: (x) => `exp(${x})`,
    vjp: (b, { dy, output }) => [mul(b, dy, output)],
    samples: unary,
  }),
  elementwise(expm1, {
    doc: "e^x - 1, accurate near 0",
    accepts: floats,
    scalar: (x) => Math.expm1(x!),
    wgsl: (x) => `expm1_(${x})`,
    vjp: (b, { dy, output }) => [mul(b, dy, add(b, output, like(b, output, 1)))],
    samples: unary,
  }),
  elementwise(log, {
    doc: "natural logarithm",
    accepts: floats,
    scalar: (x) => Math.log(x!),
    wgsl: (x) => `log(${x})`,
    vjp: (b, { dy, inputs }) => [div(b, dy, inputs[0]!)],
    samples: positive,
  }),
  elementwise(sqrt, {
    doc: "square root",
    accepts: floats,
    scalar: (x) => Math.sqrt(x!),
    wgsl: (x) => `sqrt(${x})`,
    vjp: (b, { dy, output }) => [div(b, mul(b, dy, like(b, dy, 0.5)), output)],
    samples: positive,
  }),
  elementwise(rsqrt, {
    doc: "1 / square root",
    accepts: floats,
    scalar: (x) => 1 / Math.sqrt(x!),
    wgsl: (x) => `inverseSqrt(${x})`,
    vjp: (b, { dy, output }) => [mul(b, mul(b, dy, like(b, dy, -0.5)), mul(b, output, square(b, output)))],
    samples: positive,
  }),
  elementwise(tanh, {
    doc: "hyperbolic tangent",
    accepts: floats,
    scalar: (x) => Math.tanh(x!),
    wgsl: (x) => `tanh_(${x})`,
    vjp: (b, { dy, output }) => [mul(b, dy, sub(b, like(b, dy, 1), square(b, output)))],
    samples: unary,
  }),
  elementwise(sigmoid, {
    doc: "1 / (1 + e^-x)",
    accepts: floats,
    scalar: (x) => 1 / (1 + Math.exp(-x!)),
    wgsl: (x) => `sigmoid_(${x})`,
    vjp: (b, { dy, output }) => [mul(b, dy, mul(b, output, sub(b, like(b, dy, 1), output)))],
    samples: unary,
  }),
  elementwise(abs, {
    doc: "|x|; the gradient at 0 is 0",
    accepts: ["f32", "f16", "i32"],
    scalar: (x) => Math.abs(x!),
    wgsl: (x) => `abs(${x})`,
    vjp: (b, { dy, inputs }) => {
      const zero = like(b, dy, 0);
      const x = inputs[0]!;
      return [where(b, lt(b, x, zero), neg(b, dy), where(b, lt(b, zero, x), dy, zero))];
    },
    samples: [
      { inputs: [f], domain: [0.2, 2] },
      { inputs: [f], domain: [-2, -0.2] },
    ],
  }),
  elementwise(square, {
    doc: "x * x",
    accepts: arithmetic,
    scalar: (x) => x! * x!,
    wgsl: (x) => `${x} * ${x}`,
    vjp: (b, { dy, inputs }) => [mul(b, dy, mul(b, inputs[0]!, like(b, dy, 2)))],
    samples: unary,
  }),
  elementwise(reciprocal, {
    doc: "1 / x",
    accepts: floats,
    scalar: (x) => 1 / x!,
    wgsl: (x) => `1.0 / ${x}`,
    vjp: (b, { dy, output }) => [neg(b, mul(b, dy, square(b, output)))],
    samples: positive,
  }),
  elementwise(finite, {
    doc: "whether x is neither infinite nor NaN, decided on its bits: WGSL may assume that floats are finite",
    accepts: ["f32"],
    gives: "bool",
    scalar: (x) => (Number.isFinite(x) ? 1 : 0),
    wgsl: (x) => `((bitcast<u32>(${x}) & 0x7f800000u) != 0x7f800000u)`,
    vjp: flat,
    samples: unary,
  }),
  elementwise(not, {
    doc: "logical not",
    accepts: ["bool"],
    scalar: (x) => 1 - x!,
    wgsl: (x) => `!${x}`,
    vjp: flat,
    samples: [{ inputs: [t("bool", 3, 5)], domain: [0, 2] }],
  }),
  elementwise(copy, {
    doc: "x itself, stored in memory of its own: placed by the layout pass where strides cannot say a view",
    accepts: arithmetic,
    scalar: (x) => x!,
    wgsl: (x) => x!,
    vjp: (_b, { dy }) => [dy],
    samples: unary,
  }),
  elementwise(stopGradient, {
    doc: "x itself; no gradient passes",
    accepts: arithmetic,
    scalar: (x) => x!,
    wgsl: (x) => x!,
    vjp: { nondifferentiable: "it is there to stop the gradient" },
    samples: unary,
  }),
  defineOp(cast, {
    doc: "the same number in another dtype: floats to integers truncate, numbers to bool compare with 0",
    stage: "both",
    infer: ([x], { dtype }) => ({ ...x!, dtype }),
    eval: ([x], { dtype }, ctx) => [
      x!.data.map((v) =>
        dtype === "bool" ? (v !== 0 ? 1 : 0) : dtype === "i32" || dtype === "u32" ? Math.trunc(v) + 0 : ctx.round(v),
      ),
    ],
    vjp: (b, { dy, inputs }) => {
      const from = inputs[0]!.type.dtype;
      return [floats.includes(from) && floats.includes(dy.type.dtype) ? cast(b, dy, { dtype: from }) : undefined];
    },
    cost: () => ({ macs: 0, flops: 0 }),
    fusion: { kind: "elementwise", wgsl: ([x], attrs) => `${attrs.dtype as string}(${x})` },
    samples: [
      { inputs: [t("i32", 3, 5)], attrs: { dtype: "f32" }, domain: [-9, 9] },
      { inputs: [t("f32", 3, 5)], attrs: { dtype: "i32" }, domain: [-9, 9] },
      { inputs: [t("bool", 4)], attrs: { dtype: "f32" }, domain: [0, 2] },
    ],
  }),
  elementwise(add, {
    doc: "x + y",
    accepts: arithmetic,
    scalar: (x, y) => x! + y!,
    wgsl: (x, y) => `${x} + ${y}`,
    vjp: (_b, { dy }) => [dy, dy],
    samples: binary,
  }),
  elementwise(sub, {
    doc: "x - y",
    accepts: arithmetic,
    scalar: (x, y) => x! - y!,
    wgsl: (x, y) => `${x} - ${y}`,
    vjp: (b, { dy }) => [dy, neg(b, dy)],
    samples: binary,
  }),
  elementwise(mul, {
    doc: "x * y",
    accepts: arithmetic,
    scalar: (x, y) => x! * y!,
    wgsl: (x, y) => `${x} * ${y}`,
    vjp: (b, { dy, inputs }) => [mul(b, dy, inputs[1]!), mul(b, dy, inputs[0]!)],
    samples: binary,
  }),
  elementwise(div, {
    doc: "x / y (f32)",
    accepts: floats,
    scalar: (x, y) => x! / y!,
    wgsl: (x, y) => `${x} / ${y}`,
    vjp: (b, { dy, inputs, output }) => {
      const dx = div(b, dy, inputs[1]!);
      return [dx, neg(b, mul(b, dx, output))];
    },
    samples: [
      {
        inputs: [f, f],
        domain: [
          [-2, 2],
          [0.4, 3],
        ],
      },
    ],
  }),
  elementwise(maximum, {
    doc: "the larger; ties give the gradient to x",
    accepts: arithmetic,
    scalar: (x, y) => Math.max(x!, y!),
    wgsl: (x, y) => `max(${x}, ${y})`,
    vjp: (b, { dy, inputs }) => {
      const [x, y] = [inputs[0]!, inputs[1]!];
      const zero = like(b, dy, 0);
      const yWins = lt(b, x, y);
      return [where(b, yWins, zero, dy), where(b, yWins, dy, zero)];
    },
    samples: binary,
  }),
  elementwise(minimum, {
    doc: "the smaller; ties give the gradient to x",
    accepts: arithmetic,
    scalar: (x, y) => Math.min(x!, y!),
    wgsl: (x, y) => `min(${x}, ${y})`,
    vjp: (b, { dy, inputs }) => {
      const [x, y] = [inputs[0]!, inputs[1]!];
      const zero = like(b, dy, 0);
      const yWins = lt(b, y, x);
      return [where(b, yWins, zero, dy), where(b, yWins, dy, zero)];
    },
    samples: binary,
  }),
  elementwise(eq, {
    doc: "x == y",
    accepts: arithmetic,
    gives: "bool",
    scalar: (x, y) => (x === y ? 1 : 0),
    wgsl: (x, y) => `(${x} == ${y})`,
    vjp: flat,
    samples: [{ inputs: [t("i32", 3, 5), t("i32", 3, 5)], domain: [0, 3] }],
  }),
  elementwise(lt, {
    doc: "x < y",
    accepts: arithmetic,
    gives: "bool",
    scalar: (x, y) => (x! < y! ? 1 : 0),
    wgsl: (x, y) => `(${x} < ${y})`,
    vjp: flat,
    samples: binary,
  }),
  elementwise(le, {
    doc: "x <= y",
    accepts: arithmetic,
    gives: "bool",
    scalar: (x, y) => (x! <= y! ? 1 : 0),
    wgsl: (x, y) => `(${x} <= ${y})`,
    vjp: flat,
    samples: binary,
  }),
  elementwise(and, {
    doc: "logical and",
    accepts: ["bool"],
    scalar: (x, y) => x! * y!,
    wgsl: (x, y) => `(${x} && ${y})`,
    vjp: flat,
    samples: bools,
  }),
  elementwise(or, {
    doc: "logical or",
    accepts: ["bool"],
    scalar: (x, y) => Math.max(x!, y!),
    wgsl: (x, y) => `(${x} || ${y})`,
    vjp: flat,
    samples: bools,
  }),
  defineOp(where, {
    doc: "x where cond holds, else y",
    stage: "both",
    infer: ([cond, x, y]) => {
      if (cond!.dtype !== "bool") return `the condition is ${cond!.dtype}, expected bool`;
      if (x!.dtype !== y!.dtype) return `the branches' dtypes differ: ${x!.dtype} and ${y!.dtype}`;
      if (!sameShape(cond!, x!) || !sameShape(x!, y!))
        return `operands differ: ${printType(cond!)}, ${printType(x!)} and ${printType(y!)}`;
      return x!;
    },
    eval: ([c, x, y]) => [x!.data.map((v, i) => (c!.data[i] ? v : y!.data[i]!))],
    vjp: (b, { dy, inputs }) => {
      const zero = like(b, dy, 0);
      return [undefined, where(b, inputs[0]!, dy, zero), where(b, inputs[0]!, zero, dy)];
    },
    cost: (_i, outputs) => ({ macs: 0, flops: numel(outputs[0]!) }),
    fusion: { kind: "elementwise", wgsl: ([c, x, y]) => `select(${y}, ${x}, ${c})` },
    samples: [
      {
        inputs: [t("bool", 3, 5), f, f],
        domain: [
          [0, 2],
          [-2, 2],
          [-2, 2],
        ],
      },
    ],
  }),
  defineOp(fill, {
    doc: "one number everywhere",
    stage: "both",
    infer: (_inputs, { value, type }) => {
      const { dtype } = type;
      const fits =
        dtype === "i32"
          ? value === (value | 0)
          : dtype === "u32"
            ? value === value >>> 0
            : dtype !== "bool" || value === 0 || value === 1;
      return fits ? type : `${value} is no ${dtype}`;
    },
    eval: (_inputs, { value }, ctx) => [new Float64Array(ctx.shapes[0]!.reduce((a, n) => a * n, 1)).fill(ctx.round(value))],
    vjp: () => [],
    cost: () => ({ macs: 0, flops: 0 }),
    fusion: { kind: "elementwise", wgsl: (_args, attrs, output) => literal(attrs.value as AttrKinds["num"], output.dtype) },
    samples: [
      { inputs: [], attrs: { value: -0.5, type: f } },
      { inputs: [], attrs: { value: 3, type: t("i32", 4) } },
    ],
  }),
];
