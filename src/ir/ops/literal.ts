/** Numbers as WGSL text. */
import type { DType } from "../types.js";

/** A number as a WGSL literal of a dtype; f32 literals are written so that they parse back to the same bits. */
export function literal(value: number, dtype: DType): string {
  if (dtype === "bool") return value ? "true" : "false";
  if (dtype === "i32") return value === -2147483648 ? "i32(-2147483647 - 1)" : `${value}i`;
  if (dtype === "u32") return `${value}u`;
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded))
    return `bitcast<f32>(${Number.isNaN(rounded) ? "0x7fc00000u" : rounded > 0 ? "0x7f800000u" : "0xff800000u"})`;
  const text = String(rounded);
  const suffixed = /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
  return rounded < 0 || Object.is(rounded, -0) ? `(${Object.is(rounded, -0) ? "-0.0f" : suffixed})` : suffixed;
}
