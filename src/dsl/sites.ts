/**
 * Call sites: which call in the user's own files is running. The front end marks every call there, so that a node, or a refusal,
 * knows its place: the innermost of these calls. Library code is not marked, hence `normalize(x, …)` in a model is one place,
 * whatever it traces to.
 */
import { type Diagnostic, DitError, type Span } from "../diagnostics/diagnostic.js";

export interface Site extends Span {
  /** The variable, or the array pattern, that the call initialises: its values are named after it. */
  readonly variable?: string | readonly string[];
}

const stack: Site[] = [];
/** Where an exception that is not ours started, by the first marked call that it passed through, and the last one. */
let origin: { readonly error: unknown; readonly site: Site; outermost: Site } | undefined;

export const currentSite = (): Site | undefined => stack.at(-1);
export const originOf = (error: unknown): Site | undefined =>
  origin && Object.is(origin.error, error) ? origin.site : undefined;
/** The call from which it all began. */
export const outermostOf = (error: unknown): Site | undefined =>
  origin && Object.is(origin.error, error) ? origin.outermost : undefined;

/** Runs `call` as the innermost site. */
export function atSite<T>(site: Site, call: () => T): T {
  const depth = stack.push(site);
  if (depth === 1) origin = undefined;
  try {
    return call();
  } catch (error) {
    if (origin && Object.is(origin.error, error)) origin.outermost = site;
    else origin = { error, site, outermost: site };
    throw error;
  } finally {
    stack.length = depth - 1;
  }
}

/** A site as a diagnostic's span. */
export function spanOf(site: Site): Span {
  const { file, line, column, text, length } = site;
  return { file, line, column, ...(text === undefined ? {} : { text }), ...(length === undefined ? {} : { length }) };
}

/** Runs `build`; what it refuses away from any call of the user's file is placed at `site`. */
export function placedAt<T>(site: Site | undefined, build: () => T): T {
  try {
    return build();
  } catch (error) {
    if (!site || !(error instanceof DitError)) throw error;
    throw new DitError(error.diagnostics.map((d) => (d.span ? d : { ...d, span: spanOf(site) })));
  }
}

/** Throws a diagnostic at the call that is running in the user's file. */
export function refuse(code: string, message: string, more: Omit<Diagnostic, "code" | "message"> = {}): never {
  const site = currentSite();
  throw new DitError({ code, message, ...(site ? { span: spanOf(site) } : {}), ...more });
}
