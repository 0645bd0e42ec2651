/** dit-compile as a library: the language that model files import, and compile(). */
export * from "./dsl/index.js";
export { diffusion } from "./diffusion/objective.js";
export { positionTable, timestepFeatures, timestepTable } from "./diffusion/tables.js";
export { supervised } from "./training/supervised.js";
export { type Compiled, type CompileOptions, compile } from "./compile/compile.js";
export type { Report } from "./compile/report.js";
export { type Diagnostic, DitError } from "./diagnostics/diagnostic.js";
