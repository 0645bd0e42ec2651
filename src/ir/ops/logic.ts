/** Comparisons, logic and choice: ops that make or read bool. */
import { numel, printType, sameShape } from "../types.js";
import { type AnyOp, declareOp, defineOp } from "./op.js";
import { arithmetic, binary, bools, elementwise, f, flat, like, t, unary } from "./pointwise.js";

export const finite = declareOp("is_finite", ["x"]);
export const not = declareOp("not", ["x"]);
export const eq = declareOp("eq", ["x", "y"]);
export const lt = declareOp("lt", ["x", "y"]);
export const le = declareOp("le", ["x", "y"]);
export const and = declareOp("and", ["x", "y"]);
export const or = declareOp("or", ["x", "y"]);
export const where = declareOp("where", ["cond", "x", "y"]);

export const logicOps: readonly AnyOp[] = [
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
];
