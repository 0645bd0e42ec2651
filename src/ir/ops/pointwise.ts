/**
 * What all elementwise ops share: the helper that makes a row from one scalar function and one WGSL expression, the domains their tests
 * draw from, and `fill`, the constant that their gradients are written with.
 */
import type { AttrKinds, Value } from "../graph.js";
import { type DType, numel, printType, sameShape, type TensorType } from "../types.js";
import { literal } from "./literal.js";
import { type AnyOp, declareOp, defineOp, type Emit, type OpDecl, type Sample, type Schema, type VjpContext } from "./op.js";

export const fill = declareOp("fill", [], { value: "num", type: "type" });

/** A constant like `v`: same axes, same dtype. */
export const like = (b: Emit, v: Value, value: number): Value => fill(b, { value, type: v.type });

export const t = (dtype: DType, ...shape: number[]): TensorType => ({
  dtype,
  axes: ["row", "col", "deep"].slice(0, shape.length),
  shape,
});
export const f = t("f32", 3, 5);
export const unary: readonly [Sample, ...Sample[]] = [{ inputs: [f] }, { inputs: [t("f32", 7)] }];
export const positive: readonly [Sample, ...Sample[]] = [{ inputs: [f], domain: [0.3, 4] }];
export const binary: readonly [Sample, ...Sample[]] = [{ inputs: [f, f] }, { inputs: [t("f32", 2, 1, 3), t("f32", 2, 1, 3)] }];
export const bools: readonly [Sample, ...Sample[]] = [{ inputs: [t("bool", 3, 5), t("bool", 3, 5)], domain: [0, 2] }];

export const arithmetic: readonly DType[] = ["f32", "f16", "i32", "u32"];
export const floats: readonly DType[] = ["f32", "f16"];

export interface Elementwise<S extends Schema> {
  doc: string;
  /** Which dtypes the operands may have; all operands have the same one. */
  accepts: readonly DType[];
  /** The result's dtype, when it is not the operands'. */
  gives?: DType;
  scalar: (...x: number[]) => number;
  wgsl: (...x: string[]) => string;
  vjp:
    | ((b: Emit, ctx: VjpContext) => readonly (Value | undefined)[])
    | { readonly nondifferentiable: string; readonly refuses?: boolean };
  samples: readonly [Sample<S>, ...Sample<S>[]];
  flops?: number;
}

export function elementwise<const I extends readonly string[]>(
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

export const flat = { nondifferentiable: "its result is piecewise constant" };

export const pointwiseOps: readonly AnyOp[] = [
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
