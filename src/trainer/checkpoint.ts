/**
 * A training run on disk between two steps: one safetensors file with everything that the next step depends on. Tensors have the
 * session's names (p.*, m.*, v.*, ema.*, step); what is no tensor stands as JSON in the metadata. All else a step depends on (order of
 * the images, noise, labels dropped) is a function of the seed and the number of samples seen, so the same program on the same adapter
 * goes on with the same bits.
 *
 * A file is written as one event and carries a digest, so it is whole or it is not there, and later damage shows.
 */
import { type Dirent, existsSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { DitError, fail } from "../diagnostics/diagnostic.js";
import { TEMPORARY } from "../formats/files.js";
import { CHECKPOINT_FORMAT, type TensorData, type TensorInfo } from "../formats/safetensors.js";
import { readSafetensorsHeader, visitSafetensorsFile, writeSafetensorsFile } from "../formats/safetensors-file.js";
import type { TypedArray } from "../runtime/inputs.js";
import type { Trainer } from "./trainer.js";

const VERSION = 1;
const KEY = "checkpoint";
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const schema = v.object({
  version: v.literal(VERSION),
  /** Steps of the run, those that were not finite included. */
  steps: count,
  /** Samples seen: where in the stream of images the next step begins. */
  samples: count,
  seed: count,
  /** Images a step on the device, and such batches an update. */
  batch: count,
  accumulate: count,
  /** Hash of the program. */
  program: v.string(),
  model: v.object({
    name: v.string(),
    preset: v.string(),
    config: v.record(v.string(), v.union([v.number(), v.string(), v.boolean()])),
  }),
  /** The adapter, and which variant of each kernel ran: with the program they decide the bits. */
  adapter: v.string(),
  variants: v.record(v.string(), v.string()),
  /** The file that it was made of, where another program has trained: nothing then is known of program, adapter and variants. */
  imported: v.optional(v.string()),
});

export type CheckpointFacts = Omit<v.InferOutput<typeof schema>, "version">;

/** All but the counters. */
export type RunFacts = Omit<CheckpointFacts, "steps" | "samples">;

/** The facts of a run that trains here and now. */
export function factsOf(
  trainer: Trainer,
  { seed, adapter = "" }: { readonly seed: number; readonly adapter?: string | undefined },
): RunFacts {
  const { program, variants, batch } = trainer.session;
  return {
    seed,
    batch,
    accumulate: trainer.accumulate,
    program: program.hash,
    model: program.model,
    adapter,
    variants: Object.fromEntries(variants.map(({ kernel, variant }) => [kernel, variant])),
  };
}

/** Where the checkpoint after so many steps lies. */
export const checkpointPath = (folder: string, steps: number): string =>
  join(folder, `step-${String(steps).padStart(8, "0")}.safetensors`);

/** Checkpoints of a folder, newest first. */
export function listCheckpoints(folder: string): { readonly path: string; readonly steps: number }[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry: Dirent) => {
      const steps = /^step-(\d{8,})\.safetensors$/.exec(entry.name)?.[1];
      return steps === undefined ? [] : [{ path: join(folder, entry.name), steps: Number(steps) }];
    })
    .sort((a, b) => b.steps - a.steps);
}

/** Writes the state between two steps, a tensor at a time. Error: DIT4002. */
export async function writeCheckpoint(path: string, trainer: Trainer, facts: CheckpointFacts): Promise<void> {
  const { session } = trainer;
  await writeState(path, stateOf(trainer), facts, async (name) => (await session.read([name]))[name]!);
}

/** Writes a state that lies anywhere, under the session's names. Errors: DIT4002, DIT4015, and those of `read`. */
export async function writeState(
  path: string,
  tensors: ReadonlyMap<string, TensorInfo>,
  facts: CheckpointFacts,
  read: (name: string) => Promise<TensorData>,
): Promise<void> {
  const metadata = { format: CHECKPOINT_FORMAT, [KEY]: JSON.stringify({ version: VERSION, ...facts }) };
  await writeSafetensorsFile(path, tensors, metadata, read);
}

/** Names, types and shapes of what a checkpoint holds. */
function stateOf(trainer: Trainer): Map<string, TensorInfo> {
  const shapes = new Map(trainer.session.program.parameters.map(({ name, shape }) => [name, shape]));
  const counters = new Set(trainer.counterNames);
  return new Map(
    trainer.stateNames.map((name): [string, TensorInfo] => {
      const shape = shapes.get(name.slice(name.indexOf(".") + 1));
      return [name, counters.has(name) ? { dtype: "I32", shape: [] } : { dtype: "F32", shape: shape! }];
    }),
  );
}

/** What a checkpoint says of itself. Errors: DIT4001, those of the format, DIT4230 (it is another kind of file). */
export async function readFacts(path: string): Promise<CheckpointFacts> {
  const { metadata } = await readSafetensorsHeader(path);
  return parseFacts(path, metadata);
}

function parseFacts(path: string, metadata: ReadonlyMap<string, string>): CheckpointFacts {
  let json: unknown;
  try {
    json = JSON.parse(metadata.get(KEY) ?? "null");
  } catch {
    json = null;
  }
  const parsed = v.safeParse(schema, json);
  if (parsed.success) return parsed.output;
  const found = metadata.get("format");
  const issue = parsed.issues[0];
  return fail("DIT4230", `${path} is no checkpoint of a training run`, {
    notes: [
      json === null
        ? `its metadata has no "${KEY}"${found === undefined ? "" : `; it says it is "${found}"`}`
        : `${KEY}${issue.path ? `.${v.getDotPath(issue)}` : ""}: ${issue.message}`,
    ],
    help: "name a file that dit-compile train wrote into checkpoints/; weights alone begin a new run: --weights FILE",
  });
}

/**
 * Fills the trainer's state from a checkpoint. Everything is checked as it comes; after an error the state is of no use.
 * Errors: DIT4016 and others of the format (damaged), DIT4230, DIT4231 (other tensors than this program's), DIT4232 (not finite).
 */
export async function loadCheckpoint(path: string, trainer: Trainer): Promise<CheckpointFacts> {
  const { metadata, entries } = await readSafetensorsHeader(path);
  const facts = parseFacts(path, metadata);
  const expected = stateOf(trainer);
  const wrong = [
    ...[...expected].flatMap(([name, { dtype, shape }]) => {
      const found = entries.get(name);
      const text = (t: TensorInfo) => `${t.dtype} [${t.shape.join(", ")}]`;
      if (found && text(found) === text({ dtype, shape })) return [];
      return [`${name}: expected ${text({ dtype, shape })}, found ${found ? text(found) : "none"}`];
    }),
    ...[...entries.keys()].filter((name) => !expected.has(name)).map((name) => `${name}: the program has no such tensor`),
  ];
  if (wrong.length > 0) {
    fail("DIT4231", `${path} does not hold the state of this program`, {
      notes: wrong.length > 5 ? [...wrong.slice(0, 4), `… and ${wrong.length - 4} more`] : wrong,
      help: "resume with the model file, preset and settings that the run began with",
    });
  }
  await visitSafetensorsFile(path, async (name, _entry, data) => {
    const bad = data instanceof Float32Array ? data.findIndex((x) => !Number.isFinite(x)) : -1;
    if (bad >= 0) {
      fail("DIT4232", `${path}: tensor "${name}" has ${(data as Float32Array)[bad]} at element ${bad}`, {
        notes: ["a step that is not finite changes nothing, so a run does not write such numbers"],
        help: "use an earlier checkpoint: --resume last-good, or --resume FILE",
      });
    }
    await trainer.session.write(name, data as TypedArray);
  });
  return facts;
}

/** Why a run that goes on here would not have the bits of one that was never stopped; empty: it will. */
export function changes(before: CheckpointFacts, now: RunFacts): string[] {
  const [was, is] = [before.model.config, now.model.config];
  if (before.imported !== undefined) {
    // No bits to keep: what counts is that it is the same model, with the same optimizer.
    const other = Object.keys(was).filter((key) => was[key] !== is[key]);
    return other.map((key) => `${key}: ${was[key]} in ${before.imported}, ${is[key] ?? "nothing"} now`);
  }
  const keys = [...new Set([...Object.keys(was), ...Object.keys(is)])].filter((key) => was[key] !== is[key]);
  const variants = Object.keys(now.variants).filter((kernel) => before.variants[kernel] !== now.variants[kernel]);
  const same = before.program === now.program;
  return [
    ...(before.model.preset === now.model.preset
      ? []
      : [`preset: ${before.model.preset || "none"} before, ${now.model.preset || "none"} now`]),
    ...keys.map((key) => `${key}: ${was[key] ?? "nothing"} before, ${is[key] ?? "nothing"} now`),
    ...(same || keys.length > 0 || before.batch !== now.batch ? [] : ["the model file or the compiler is another one"]),
    ...(["seed", "batch", "accumulate", "adapter"] as const)
      .filter((key) => before[key] !== now[key])
      .map((key) => `${key}: ${before[key]} before, ${now[key]} now`),
    ...(same && variants.length > 0
      ? [`${variants.length} kernels run in another variant than before, ${variants[0]} among them`]
      : []),
  ];
}

/** Which checkpoints to keep: the newest `last`, and those at multiples of `every` steps (0: no others). */
export async function prune(folder: string, { last, every }: { readonly last: number; readonly every: number }): Promise<void> {
  const old = listCheckpoints(folder).slice(last);
  for (const { path, steps } of old) if (every === 0 || steps % every !== 0) await rm(path, { force: true });
}

/** Takes away what a process left that died while it wrote. */
export async function sweep(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    if (name.startsWith(".step-") && name.endsWith(TEMPORARY)) await rm(join(folder, name), { force: true });
  }
}

/** Whether an error says that a checkpoint's bytes are damaged, and not that it belongs to something else. */
export const isDamage = (error: unknown): boolean =>
  error instanceof DitError && error.diagnostics.every(({ code }) => /^DIT40(01|1\d)$|^DIT4232$/.test(code));
