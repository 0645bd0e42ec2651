/**
 * Tuning files: which way of a kernel was the fastest for which work, by adapter. Plain JSON, made to be read, committed and merged: writing
 * to a file that is there replaces what was measured again and keeps the rest.
 */
import * as v from "valibot";
import { fail } from "../diagnostics/diagnostic.js";
import { statOf, writeFileAtomic } from "../formats/files.js";
import { readJsonFile } from "../formats/json-file.js";
import type { Program } from "../program/program.js";

const FORMAT = "dit-compile tuning";
const VERSION = 1;

const measured = v.strictObject({
  /** The way that was the fastest; absent where the compiler's own choice was. */
  choice: v.optional(v.string()),
  /** Microseconds of the fastest run: of the compiler's own choice, and of the fastest way, both in the same rounds. */
  ownUs: v.number(),
  us: v.number(),
  /** How many other ways were tried. */
  tried: v.number(),
});
const adapter = v.strictObject({
  vendor: v.string(),
  architecture: v.string(),
  description: v.string(),
  /** The only width of its subgroups, where there is one. */
  subgroupSize: v.optional(v.number()),
  features: v.array(v.string()),
  kernels: v.record(v.string(), measured),
});
const schema = v.strictObject({
  format: v.literal(FORMAT),
  version: v.literal(VERSION),
  adapters: v.record(v.string(), adapter),
});

export type TuningFile = v.InferOutput<typeof schema>;
export type TunedAdapter = v.InferOutput<typeof adapter>;
export type Measured = v.InferOutput<typeof measured>;

/** What an adapter is called in a file: where its subgroups have one width, the same driver at another is another adapter. */
export const adapterName = ({
  vendor,
  architecture,
  description,
  subgroupSize,
}: Omit<TunedAdapter, "kernels" | "features">): string =>
  `${description || [vendor, architecture].filter(Boolean).join(" ") || "unknown"}${subgroupSize === undefined ? "" : `, subgroups of ${subgroupSize}`}`;

/** Errors: DIT4001, DIT7040 (not there, no JSON, not a tuning file, or of another version). */
export async function readTuning(path: string): Promise<TuningFile> {
  if (!(await statOf(path)))
    fail("DIT7040", `there is no tuning file ${path}`, { help: "dit-compile tune BUNDLE -o FILE writes one" });
  const help = "tune again into a new file";
  return readJsonFile(path, schema, {
    code: "DIT7040",
    what: `a tuning file of version ${VERSION}`,
    help: { json: `repair it, or ${help}`, schema: help },
  });
}

/**
 * Writes what was measured into a file that may be there already; work of which more ways had been tried before keeps what was found then,
 * as after a run that was stopped. Errors: DIT7040 (what is there is no tuning file).
 */
export async function mergeTuning(path: string, name: string, found: TunedAdapter): Promise<void> {
  const old = (await statOf(path)) ? await readTuning(path) : undefined;
  const before = old?.adapters[name]?.kernels ?? {};
  const news = Object.entries(found.kernels).filter(([key, { tried }]) => tried > 0 && tried >= (before[key]?.tried ?? 0));
  const kernels = { ...before, ...Object.fromEntries(news) };
  const sorted = Object.fromEntries(Object.entries(kernels).sort(([a], [b]) => (a < b ? -1 : 1)));
  const file: TuningFile = {
    format: FORMAT,
    version: VERSION,
    adapters: { ...old?.adapters, [name]: { ...found, kernels: sorted } },
  };
  await writeFileAtomic(path, `${JSON.stringify(file, null, 2)}\n`);
}

export interface AdapterChoices {
  readonly adapter: string;
  /** By the key of the work; and the keys of all work that was measured, whatever was the fastest. */
  readonly choices: ReadonlyMap<string, string>;
  readonly measured: ReadonlySet<string>;
}

/** How many kinds of work with a choice a program has, and how many of them were measured. */
export function coverage({ entries }: Program, { measured }: AdapterChoices): { readonly known: number; readonly all: number } {
  const dispatches = entries.flatMap((entry) => entry.segments.flatMap((segment) => segment.dispatches));
  const keys = new Set(dispatches.flatMap(({ choiceKey }) => choiceKey ?? []));
  return { known: [...keys].filter((key) => measured.has(key)).length, all: keys.size };
}

/**
 * The choices for one adapter: that whose name has these words, or the only one. Errors: DIT7041 (none, or several).
 */
export function choicesFor({ adapters }: TuningFile, path: string, words?: string): AdapterChoices {
  const names = Object.keys(adapters).filter((name) => words === undefined || name.includes(words));
  if (names.length !== 1) {
    const all = Object.keys(adapters);
    const which = words === undefined ? `${all.length} adapters` : `${names.length} adapters called "${words}"`;
    fail("DIT7041", `${path} has ${which}, expected one`, { notes: all, help: "--tuning-for WORDS of one adapter's name" });
  }
  const [adapter] = names as [string];
  const { kernels } = adapters[adapter]!;
  const choices = Object.entries(kernels).flatMap(([key, { choice }]) => (choice === undefined ? [] : [[key, choice] as const]));
  return { adapter, choices: new Map(choices), measured: new Set(Object.keys(kernels)) };
}
