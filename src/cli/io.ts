/** The edge of the program: where text goes, and how every way of failing becomes one message and an exit code. */
import { CommanderError } from "commander";
import { DitError, InternalError } from "../diagnostics/diagnostic.js";
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

/** What a person reads of an error. Bad input of any kind has a sentence; all else is ours and says so. */
export function errorMessage(error: unknown): string {
  if (error instanceof DitError) return error.message;
  if (error instanceof DitRuntimeError) return text(error.code, error.message, error.help);
  if (error instanceof PackError) return text("DIT1303", error.message);
  if (error instanceof InternalError) return withStack(`internal error: ${error.message}`, error);
  const message = error instanceof Error ? error.message : String(error);
  return withStack(
    `internal error: ${message}\nThis is a bug in dit-compile, please report it with the command that was run.`,
    error,
  );
}

const text = (code: string, message: string, help?: string): string =>
  `error ${code}: ${message}${help === undefined ? "" : `\n  help: ${help}`}`;

function withStack(message: string, error: unknown): string {
  const wanted = process.env.DIT_COMPILE_STACK === "1" && error instanceof Error;
  return `${message}${wanted ? `\n${error.stack}` : "\n  (DIT_COMPILE_STACK=1 shows where)"}`;
}

/** Runs a command to its exit code. */
export async function exitCode(io: Io, run: () => Promise<unknown>): Promise<number> {
  try {
    await run();
    return 0;
  } catch (error) {
    // Commander has printed its sentence; --help and --version end the same way, with code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
    if (error instanceof ExitError) return error.exitCode;
    io.err(`${errorMessage(error)}\n`);
    return 1;
  }
}
