/**
 * A bundle carries the module that its kernels were made of (kernels.ir), so that they can be made again with other choices and without
 * the model file (lower-again.ts). The text begins with a line that says how they were made, as JSON behind `//`; the rest is IR as it is
 * printed anywhere. It is written without what reads it: a parser of IR takes longer to load than the compiler.
 */
import type { ScheduleSpec } from "../codegen/lower.js";
import type { Module } from "../ir/graph.js";
import { printModule } from "../ir/print.js";

export interface Made {
  readonly safe: boolean;
  readonly choices: Readonly<Record<string, string>>;
  /** By keys; absent without. */
  readonly tuning?: readonly (readonly [key: string, choice: string])[];
  readonly schedules: readonly ScheduleSpec[];
}

/** How the first line begins. */
export const HEAD = "// made by: ";

export const loweringText = (kernels: Module, made: Made): string =>
  `${HEAD}${JSON.stringify(made satisfies Made)}\n${printModule(kernels)}`;
