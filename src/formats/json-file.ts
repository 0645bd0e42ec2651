/** JSON files that a person may write: read, held against a schema, and refused with every place that does not fit. */
import * as v from "valibot";
import { fail } from "../diagnostics/diagnostic.js";
import { readFileBytes } from "./files.js";

export interface JsonFile {
  /** Of the error when it is not JSON, or not what it should be. */
  readonly code: string;
  /** What it should be: "a training configuration". */
  readonly what: string;
  /** What to do when it is not JSON, and when it does not fit. */
  readonly help: { readonly json: string; readonly schema: string };
}

/** Errors: DIT4001 (it cannot be read), and `code`. */
export async function readJsonFile<S extends v.GenericSchema>(
  path: string,
  schema: S,
  { code, what, help }: JsonFile,
): Promise<v.InferOutput<S>> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(await readFileBytes(path)));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    fail(code, `${path} is not JSON`, { notes: [error.message], help: help.json });
  }
  const parsed = v.safeParse(schema, json);
  if (parsed.success) return parsed.output;
  const notes = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? "it"}: ${issue.message}`);
  return fail(code, `${path} is not ${what}`, { notes, help: help.schema });
}
