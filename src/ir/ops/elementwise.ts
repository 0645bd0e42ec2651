/**
 * Arithmetic: one output element from the input elements at the same place. Operands have identical axes; broadcasting is an explicit
 * `expand`. Formulas that drivers get wrong (tanh overflows on some, small expm1 cancels) are WGSL functions of our own, see
 * codegen/kernels/math.wgsl; the reference uses JavaScript's f64 Math.
 */
import { lt, where } from "./logic.js";
import { type AnyOp, declareOp, defineOp } from "./op.js";
import { arithmetic, binary, elementwise, f, floats, like, positive, t, unary } from "./pointwise.js";

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
export const copy = declareOp("copy", ["x"]);
export const stopGradient = declareOp("stop_gradient", ["x"]);
export const cast = declareOp("cast", ["x"], { dtype: "dtype" });
export const add = declareOp("add", ["x", "y"]);
export const sub = declareOp("sub", ["x", "y"]);
export const mul = declareOp("mul", ["x", "y"]);
export const div = declareOp("div", ["x", "y"]);
export const maximum = declareOp("maximum", ["x", "y"]);
export const minimum = declareOp("minimum", ["x", "y"]);

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
];
