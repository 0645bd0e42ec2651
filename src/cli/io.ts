/**
 * The edge of the program: where text goes, and how every way of failing becomes one message and an exit code.
 *
 * With `--json` the standard output gets exactly one JSON value, whatever happens: what the command has to report, or
 * `{ "error": [ … ] }`. The standard error stays for people.
 */
import { CommanderError } from "commander";
import { type Diagnostic, DitError, InternalError, render } from "../diagnostics/diagnostic.js";
import { PackError } from "../program/pack.js";
import { DitRuntimeError } from "../runtime/errors.js";

/** Results go to `out`, everything about the run to `err`. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
}

export const terminal: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
};

/** A command that has said what there is to say, and failed. */
export class ExitError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** What `--json` prints: one value, whole. */
export const printJson = (io: Io, value: unknown): void => io.out(`${JSON.stringify(value, null, 2)}\n`);

/** One thing that is wrong, as `--json` says it; what does not apply is left out. */
export interface JsonError {
  readonly code: string;
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly notes?: readonly string[];
  readonly help?: string;
}

const BUG = "This is a bug in dit-compile, please report it with the command that was run.";

/** Everything that an error says. Bad input of any kind has sentences; all else is ours and says so (DIT9001). */
export function diagnosticsOf(error: unknown): readonly Diagnostic[] {
  if (error instanceof DitError) return error.diagnostics;
  if (error instanceof DitRuntimeError) return [diagnostic(error.code, error.message, error.help)];
  if (error instanceof PackError) return [diagnostic("DIT1303", error.message)];
  if (error instanceof CommanderError) {
    const [, message = error.message, hint] = /^(?:error: )?([\s\S]*?)(?:\n\((.*)\))?$/.exec(error.message) ?? [];
    return [diagnostic("DIT7001", message, hint)];
  }
  const message = error instanceof Error ? error.message : String(error);
  return [diagnostic("DIT9001", message.replace(`\n${BUG}`, ""), BUG)];
}

const diagnostic = (code: string, message: string, help?: string): Diagnostic => ({
  code,
  message,
  ...(help === undefined ? {} : { help }),
});

/** What a person reads of an error. */
export function errorMessage(error: unknown): string {
  const known = error instanceof DitError || error instanceof DitRuntimeError || error instanceof PackError;
  if (known) return diagnosticsOf(error).map(render).join("\n\n");
  const message = error instanceof Error ? error.message : String(error);
  const wanted = process.env.DIT_COMPILE_STACK === "1" && error instanceof Error;
  const stack = wanted ? `\n${error.stack}` : "\n  (DIT_COMPILE_STACK=1 shows where)";
  return `internal error: ${message}${error instanceof InternalError ? "" : `\n${BUG}`}${stack}`;
}

/** What a script reads of an error. */
export const jsonError = (error: unknown): { readonly error: readonly JsonError[] } => ({
  error: diagnosticsOf(error).map(({ code, message, span, notes, help }) => ({
    code,
    message,
    ...(span ? { file: span.file, line: span.line, column: span.column } : {}),
    ...(notes && notes.length > 0 ? { notes } : {}),
    ...(help === undefined ? {} : { help }),
  })),
});

/** Runs a command to its exit code. */
export async function exitCode(io: Io, run: () => Promise<unknown>, json = false): Promise<number> {
  try {
    await run();
    return 0;
  } catch (error) {
    // --help and --version end like a mistake, with code 0.
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (error instanceof ExitError) return error.exitCode;
    if (json) printJson(io, jsonError(error));
    // Commander has printed its sentence.
    else if (!(error instanceof CommanderError)) io.err(`${errorMessage(error)}\n`);
    return 1;
  }
}
