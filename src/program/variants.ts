/**
 * Other ways of a program's heaviest kernels, in a file of their own beside it (variants.json), which nothing fetches unless it is asked
 * for. Each works on the same bindings as the program's own kernel, with uniforms and an extent of its own, and gives the same numbers up
 * to the order of sums.
 */
import type { Kernel } from "./program.js";
import type { Size } from "./size.js";

export const VARIANTS_FORMAT = "dit-compile variants";
export const VARIANTS_VERSION = 1;

export interface Variants {
  readonly format: typeof VARIANTS_FORMAT;
  readonly version: typeof VARIANTS_VERSION;
  /** Hash of the program that they belong to. */
  readonly program: string;
  readonly kernels: readonly Kernel[];
  /** WGSL by `Variant.file`. */
  readonly texts: Readonly<Record<string, string>>;
  /** The heaviest work first. */
  readonly works: readonly VariantWork[];
}

/** One piece of work, which several dispatches may do. */
export interface VariantWork {
  /** Its `choiceKey`. */
  readonly key: string;
  /** Entry, and position in its flat list. */
  readonly dispatches: readonly { readonly entry: string; readonly index: number }[];
  readonly ways: readonly VariantWay[];
}

export interface VariantWay {
  /** The choice's name, unique among the ways of this work. */
  readonly choice: string;
  /** Position in `Variants.kernels`. */
  readonly kernel: number;
  /** Of each of the work's dispatches. */
  readonly runs: readonly { readonly uniforms: readonly Size[]; readonly extent: readonly Size[] }[];
}
