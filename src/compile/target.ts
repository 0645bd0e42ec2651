/** What a program is compiled for: the WebGPU minimum with or without guarded variants, or a machine's own limits. */
import type { LowerOptions } from "../codegen/lower.js";
import { type Profile, webLimits } from "../program/program.js";

/** What a device needs to have numbers of 16 bits in memory. */
export const HALVES = "shader-f16";

/**
 * `web`: the guaranteed minimum, plus variants that the runtime takes where an adapter offers more. `minimum`: no variants. `needed`:
 * features that the program cannot do without, whatever the target.
 */
export function targetProfile(target: "web" | "minimum" | Profile, needed: readonly string[] = []): Profile {
  const profile =
    typeof target === "string" ? { name: target, features: [], limits: webLimits, variants: target === "web" } : target;
  const more = needed.filter((feature) => !profile.features.includes(feature));
  return more.length > 0 ? { ...profile, features: [...profile.features, ...more] } : profile;
}

/** What of a profile decides how kernels are made. */
export function loweringLimits({
  limits,
  features,
  variants,
}: Profile): Required<Pick<LowerOptions, "variants" | "halves" | "maxBinding" | "maxStorageBuffers">> {
  const { maxStorageBufferBindingSize = Infinity, maxBufferSize = Infinity, maxStorageBuffersPerShaderStage = 8 } = limits;
  return {
    variants,
    halves: features.includes(HALVES),
    maxBinding: Math.min(maxStorageBufferBindingSize, maxBufferSize),
    maxStorageBuffers: maxStorageBuffersPerShaderStage,
  };
}
