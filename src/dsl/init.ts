/**
 * How a parameter starts. A rule is plain data in the compiled program: the runtime draws the numbers from a seed, so that the same
 * seed gives the same weights on every machine. Fans come from the sizes: out is the first axis, in the product of the rest.
 */

import type { TensorType } from "../ir/types.js";
import { evaluate, product } from "../program/size.js";

export type Init =
  | { readonly rule: "xavier_uniform"; readonly fanIn: number; readonly fanOut: number }
  | { readonly rule: "normal"; readonly std: number }
  | { readonly rule: "zeros" }
  | { readonly rule: "ones" }
  | { readonly rule: "table"; readonly data: Float64Array };

/** A rule that still waits for the sizes of its parameter. */
export type InitOf = (type: TensorType) => Init;

export const init = {
  /** Uniform in ±√(6 / (in + out)). */
  xavierUniform: (): InitOf => (type) => ({
    rule: "xavier_uniform",
    fanIn: evaluate(product(type.shape.slice(1)), 1),
    fanOut: evaluate(type.shape[0] ?? 1, 1),
  }),
  normal:
    (std: number): InitOf =>
    () => ({ rule: "normal", std }),
  zeros: { rule: "zeros" } as Init,
  ones: { rule: "ones" } as Init,
  /** Given numbers, row-major: a fixed embedding, for one. */
  table: (data: Float64Array): Init => ({ rule: "table", data }),
} as const;
