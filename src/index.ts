/** dit-compile as a library: the language that model files import, and compile(). */

export { writeBundle } from "./compile/bundle.js";
export { type Compiled, type CompileOptions, compile } from "./compile/compile.js";
export type { Report } from "./compile/report.js";
export { type Diagnostic, DitError } from "./diagnostics/diagnostic.js";
export * from "./language.js";
