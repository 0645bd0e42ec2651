/** What a program is compiled for: the WebGPU minimum with or without guarded variants, or a machine's own limits. */
import type { LowerOptions } from "../codegen/lower.js";
import { type Profile, webLimits } from "../program/program.js";

/** `web`: the guaranteed minimum, plus variants that the runtime takes where an adapter offers more. `minimum`: no variants. */
export function targetProfile(target: "web" | "minimum" | Profile): Profile {
  if (typeof target !== "string") return target;
  return { name: target, features: [], limits: webLimits, variants: target === "web" };
}

/** What of a profile decides how kernels are made. */
export function loweringLimits({
  limits,
  variants,
}: Profile): Required<Pick<LowerOptions, "variants" | "maxBinding" | "maxStorageBuffers">> {
  const { maxStorageBufferBindingSize = Infinity, maxBufferSize = Infinity, maxStorageBuffersPerShaderStage = 8 } = limits;
  return {
    variants,
    maxBinding: Math.min(maxStorageBufferBindingSize, maxBufferSize),
    maxStorageBuffers: maxStorageBuffersPerShaderStage,
  };
}
