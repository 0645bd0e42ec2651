/**
 * What dit-compile says to a person. A diagnostic is data: where, what was expected, what was found, what to do.
 * `DitError` carries one or more of them to the edge of the program, which prints them and exits with 1.
 * Any other exception is a bug of ours and is reported as one.
 */

/** A place in a text file; lines and columns count from 1. */
export interface Span {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The source line itself, when known, for the code frame. */
  readonly text?: string;
  readonly length?: number;
}

export interface Diagnostic {
  /** Stable code, `DIT` and four digits: docs/errors.md lists them. */
  readonly code: string;
  readonly message: string;
  readonly span?: Span;
  readonly notes?: readonly string[];
  /** What to do about it. */
  readonly help?: string;
}

export class DitError extends Error {
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: Diagnostic | readonly Diagnostic[]) {
    const list = Array.isArray(diagnostics) ? diagnostics : [diagnostics as Diagnostic];
    super(list.map((d) => render(d)).join("\n\n"));
    this.name = "DitError";
    this.diagnostics = list;
  }
}

/** A contract of our own was broken: never the user's fault. */
export class InternalError extends Error {
  constructor(message: string) {
    super(`${message}\nThis is a bug in dit-compile, please report it with the command that was run.`);
    this.name = "InternalError";
  }
}

/** `file:line:column`, as editors and terminals link it. */
export const place = (span: Span): string => `${span.file}:${span.line}:${span.column}`;

/** A diagnostic as text: place, message, code frame, notes, help. */
export function render(d: Diagnostic): string {
  const lines = [`${d.span ? `${place(d.span)}: ` : ""}error ${d.code}: ${d.message}`];
  if (d.span?.text !== undefined) {
    const number = String(d.span.line);
    lines.push(` ${number} | ${d.span.text}`);
    lines.push(` ${" ".repeat(number.length)} | ${" ".repeat(d.span.column - 1)}${"^".repeat(Math.max(1, d.span.length ?? 1))}`);
  }
  for (const note of d.notes ?? []) lines.push(`  note: ${note}`);
  if (d.help) lines.push(`  help: ${d.help}`);
  return lines.join("\n");
}

/** Throws a one-diagnostic error; the usual way out for bad input. */
export function fail(code: string, message: string, more: Omit<Diagnostic, "code" | "message"> = {}): never {
  throw new DitError({ code, message, ...more });
}
