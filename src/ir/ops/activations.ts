/**
 * Activations as one op each, with their gradients as ops of the argument, so that the backward pass keeps the argument alone. The
 * kernels' formulas (math.wgsl) are our own: clamped, because built-in tanh overflows on some drivers.
 */
import type { DType, TensorType } from "../types.js";
import { type AnyOp, declareOp } from "./op.js";
import { elementwise } from "./pointwise.js";

export const gelu = declareOp("gelu", ["x"]);
export const geluGrad = declareOp("gelu_grad", ["dy", "x"]);
export const silu = declareOp("silu", ["x"]);
export const siluGrad = declareOp("silu_grad", ["dy", "x"]);

const accepts: readonly DType[] = ["f32", "f16"];
const f: TensorType = { dtype: "f32", axes: ["a", "b"], shape: [3, 5] };
const once = "second derivatives of activations are not there yet";

const sigmoidOf = (x: number): number => 1 / (1 + Math.exp(-x));
const ROOT = Math.sqrt(2 / Math.PI);
const CUBE = 0.044715;
const tanhOf = (x: number): number => Math.tanh(ROOT * (x + CUBE * x ** 3));
const geluSlope = (x: number): number => {
  const y = Math.min(Math.max(x, -30), 30);
  const t = tanhOf(y);
  return 0.5 * (1 + t) + 0.5 * y * (1 - t * t) * ROOT * (1 + 3 * CUBE * y * y);
};

export const activationOps: readonly AnyOp[] = [
  elementwise(gelu, {
    doc: "0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))), the tanh form of GELU",
    accepts,
    scalar: (x) => 0.5 * x! * (1 + tanhOf(Math.min(Math.max(x!, -30), 30))),
    wgsl: (x) => `gelu_(${x})`,
    vjp: (b, { dy, inputs }) => [geluGrad(b, dy, inputs[0]!)],
    samples: [{ inputs: [f] }, { inputs: [f], domain: [-40, 40] }],
  }),
  elementwise(geluGrad, {
    doc: "dy · gelu'(x)",
    accepts,
    scalar: (dy, x) => dy! * geluSlope(x!),
    wgsl: (dy, x) => `${dy} * gelu_slope_(${x})`,
    vjp: { nondifferentiable: once, refuses: true },
    samples: [{ inputs: [f, f] }],
  }),
  elementwise(silu, {
    doc: "x · sigmoid(x)",
    accepts,
    scalar: (x) => x! * sigmoidOf(x!),
    wgsl: (x) => `${x} * sigmoid_(${x})`,
    vjp: (b, { dy, inputs }) => [siluGrad(b, dy, inputs[0]!)],
    samples: [{ inputs: [f] }, { inputs: [f], domain: [-40, 40] }],
  }),
  elementwise(siluGrad, {
    doc: "dy · silu'(x)",
    accepts,
    scalar: (dy, x) => dy! * sigmoidOf(x!) * (1 + x! * (1 - sigmoidOf(x!))),
    wgsl: (dy, x) => `${dy} * silu_slope_(${x})`,
    vjp: { nondifferentiable: once, refuses: true },
    samples: [{ inputs: [f, f] }],
  }),
];
