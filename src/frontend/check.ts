/**
 * Type errors of a model file, as our diagnostics. TypeScript tells the story of every overload it tried; a person needs the one
 * sentence about the axes, which stands in the message as the type `Refused<"…">`, and the place.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Project, type SourceFile, ts } from "ts-morph";
import type { Diagnostic, Span } from "../diagnostics/diagnostic.js";
import * as functions from "../dsl/functions.js";

/** What `import … from "dit-compile"` means to the type checker: the running instance, from source or as built. */
function libraryTypes(): string {
  const source = fileURLToPath(new URL("../language.ts", import.meta.url));
  return existsSync(source) ? source : fileURLToPath(new URL("../language.d.ts", import.meta.url));
}

/** A project with the compiler options of every model file; they are fixed, so that a file means the same on every machine. */
export function createProject(): Project {
  const project = new Project({
    skipAddingFilesFromTsConfig: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      lib: ["lib.es2023.d.ts"],
      module: ts.ModuleKind.CommonJS,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      allowImportingTsExtensions: true,
      noEmit: true,
      types: [],
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: true,
      // Whole messages: the sentence about the axes is inside.
      noErrorTruncation: true,
      paths: { "dit-compile": [libraryTypes()] },
    },
  });
  // There is no DOM and no @types/node here, yet people print things.
  project.createSourceFile(
    "/dit-compile-globals.d.ts",
    "declare const console: { log(...values: unknown[]): void; error(...values: unknown[]): void };",
  );
  return project;
}

/** All errors of one file, in order of place. */
export function typeErrors(project: Project, file: SourceFile, display: string): Diagnostic[] {
  const program = project.getProgram().compilerObject;
  const node = file.compilerNode;
  const found = [...program.getSyntacticDiagnostics(node), ...program.getSemanticDiagnostics(node)];
  const places = new Set<string>();
  const told = found
    .sort((a, b) => (a.start ?? 0) - (b.start ?? 0))
    .map((d) => explain(d, spanIn(node, d.start ?? 0, d.length ?? 1, display)));
  // What is wrong inside of forward spoils the type of what it returns; that is no mistake of its own.
  const own = told.filter((d) => d.help !== RETURN);
  return (own.length > 0 ? own : told).filter((d) => {
    // An error inside an argument is reported again by the call around it.
    const key = `${d.span?.line}:${d.span?.column}`;
    return places.has(key) ? false : places.add(key);
  });
}

export function spanIn(file: ts.SourceFile, start: number, length: number, display: string): Span {
  const { line, character } = file.getLineAndCharacterOfPosition(start);
  const text = file.text.split(/\r?\n/)[line] ?? "";
  return {
    file: display,
    line: line + 1,
    column: character + 1,
    text,
    length: Math.max(1, Math.min(length, text.length - character)),
  };
}

const refused = /Refused<"((?:[^"\\]|\\.)*)">/;
const tensors = /Type 'Tensor<"([^"]*)", "(\w+)">' is not assignable to type 'Tensor<"([^"]*)", "(\w+)">'/;

const returned = /Type '((?:(?!Type ').)*)' is not assignable to type 'Readonly<Record<string, AnyTensor>>'\.$/m;
const RETURN = "return tensors by name: { out: x }";

function explain(d: ts.Diagnostic, span: Span): Diagnostic {
  const whole = ts.flattenDiagnosticMessageText(d.messageText, "\n");
  const result = returned.exec(whole)?.[1];
  if (result !== undefined) {
    const found = result === "void" ? "nothing" : result.startsWith("Promise<") ? "a promise (is it async?)" : result;
    return { code: "DIT1001", message: `forward returns ${found}, expected tensors by name`, span, help: RETURN };
  }
  const sentence = refused.exec(whole)?.[1];
  if (sentence !== undefined) return { code: "DIT1001", message: sentence, span };
  const [, axes, dtype, wantedAxes, wantedDtype] = tensors.exec(whole) ?? [];
  if (axes !== undefined) {
    const message =
      axes === wantedAxes
        ? `this tensor is ${dtype}, expected ${wantedDtype}`
        : `this tensor is [${axes}], expected [${wantedAxes}]`;
    return { code: "DIT1001", message, span };
  }
  const [first, ...rest] = whole.split("\n");
  const notes = rest.slice(0, 3).map((line) => line.trim());
  const help = hint(d.code, whole);
  return { code: "DIT1002", message: `${first} (TS${d.code})`, span, notes, ...(help === undefined ? {} : { help }) };
}

/** What to do about a mistake that TypeScript only names. */
function hint(code: number, text: string): string | undefined {
  const signs = "tensors have methods in place of signs: x.add(y), x.sub(y), x.mul(2), x.div(2), x.neg()";
  if (code === 2362 || code === 2363 || (code === 2365 && text.includes("Tensor<"))) return signs;
  if (code === 2345 && /^Argument of type 'Tensor<.*' is not assignable to parameter of type 'number'/.test(text)) {
    return "a tensor has no number yet: use its methods and the functions of dit-compile, like x.exp() and gelu(x)";
  }
  const [, member] = /^Property '(\w+)' does not exist on type 'Tensor</.exec(text) ?? [];
  if (member !== undefined && member in functions) return `${member} is a function: ${member}(x, …), imported from "dit-compile"`;
  const [, module] = /^Cannot find module '([^']+)'/.exec(text) ?? [];
  if (module === undefined) return undefined;
  return module.startsWith(".") ? "the path is taken from this file" : `npm install ${module}, where the model file lies`;
}
