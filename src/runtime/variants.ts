/**
 * Other ways of a program's heaviest kernels (`--variants`): fetched, measured and put into the program when a page or a script asks for
 * it, before it makes a session. This file ships beside index.js in bundles that have variants, and in no other.
 *
 *     const bundle = await fetchBundle(new URL("./dit/", document.baseURI));        // of index.js, as the next and the last
 *     const { device } = await webDevice(bundle.program);
 *     const variants = await fetchVariants(new URL("./dit/", document.baseURI));
 *     const { choices } = await selectVariants(bundle, variants, device);           // worth keeping, in localStorage for one
 *     const session = await createSession(withVariants(bundle, variants, choices), device);
 */
import type { Bundle, Dispatch, Program, Storage } from "../program/program.js";
import type { Variants, VariantWay, VariantWork } from "../program/variants.js";
import { createSession, DitRuntimeError, type Session, validate } from "./index.js";

export type { Variants } from "../program/variants.js";

/** The way of each work, by its key; work that is not named keeps the compiler's own. */
export type VariantChoices = Readonly<Record<string, string>>;

const DAMAGED = "compile the model again, with --variants";

/** Fetches variants.json from the bundle's folder. Errors: DIT6009 (not there), those of `validateVariants` as DIT6001. */
export async function fetchVariants(folder: string | URL): Promise<unknown> {
  const url = new URL("variants.json", folder);
  let response: Response | undefined;
  try {
    response = await fetch(url);
  } catch {}
  if (!response?.ok) throw new DitRuntimeError("DIT6009", `${url} could not be fetched`, DAMAGED);
  return response.json();
}

/** What is wrong with a file of variants, in sentences; none where each of its ways makes a program that `validate` passes. */
export function validateVariants(value: unknown, bundle: Bundle): string[] {
  const file = value as Variants | null;
  if (typeof file !== "object" || file === null || (file.format as unknown) !== "dit-compile variants") {
    return ['this is not a "dit-compile variants"'];
  }
  if ((file.version as unknown) !== 1) return [`version is ${String(file.version)}, this runtime reads 1`];
  if (file.program !== bundle.program.hash) return ["it belongs to another program"];
  const list = (what: unknown): what is readonly unknown[] => Array.isArray(what);
  if (!list(file.kernels) || !list(file.works) || typeof file.texts !== "object" || file.texts === null) {
    return ["it lacks kernels, texts or works"];
  }
  for (const [i, work] of file.works.entries()) {
    const problem = workProblem(work, file, bundle.program);
    if (problem !== undefined) return [`works[${i}]: ${problem}`];
  }
  const most = Math.max(0, ...file.works.map(({ ways }) => ways.length));
  for (let way = 0; way < most; way++) {
    const made = applied(bundle, file, (work) => work.ways[way]);
    const problems = validate(made.program, made.wgsl, made.constants.byteLength);
    if (problems.length > 0) return problems;
  }
  return [];
}

/** What `applied` relies on. */
function workProblem(work: Partial<VariantWork> | null, { kernels }: Variants, program: Program): string | undefined {
  if (typeof work !== "object" || work === null || typeof work.key !== "string") return "it has no key";
  const { dispatches, ways } = work;
  if (!Array.isArray(dispatches) || !Array.isArray(ways)) return "it lacks dispatches or ways";
  const own = dispatches.map((at) => dispatchAt(program, at?.entry, at?.index));
  if (own.length === 0 || own.some((dispatch) => dispatch?.choiceKey !== work.key))
    return `not all its dispatches do "${work.key}"`;
  const names = new Set<string>();
  for (const way of ways as (Partial<VariantWay> | null)[]) {
    if (typeof way?.choice !== "string" || names.has(way.choice)) return "a way has no name of its own";
    names.add(way.choice);
    const kernel = kernels[way.kernel!];
    if (typeof kernel !== "object" || kernel === null)
      return `${way.choice} runs kernel ${way.kernel}, there are ${kernels.length}`;
    const { access } = program.kernels[own[0]!.kernel]!;
    if (String(kernel.access) !== String(access)) return `${way.choice} binds otherwise than the program's own kernel`;
    if (!Array.isArray(way.runs) || way.runs.length !== own.length) return `${way.choice} is not there for every dispatch`;
    if (way.runs.some((run) => typeof run !== "object" || run === null)) return `${way.choice} has a run that is none`;
  }
  return undefined;
}

const dispatchAt = ({ entries }: Program, entry: unknown, index: unknown): Dispatch | undefined =>
  entries.find(({ name }) => name === entry)?.segments.flatMap(({ dispatches }) => dispatches)[index as number];

/**
 * The bundle with the chosen ways in it, for `createSession`; the program has another hash, as it gives other last bits.
 * Errors: DIT6001 (a damaged file, or one of another program), DIT6004 (a choice that is not there).
 */
export function withVariants(bundle: Bundle, variants: unknown, choices: VariantChoices): Bundle {
  const file = checked(variants, bundle);
  for (const [key, choice] of Object.entries(choices)) {
    const work = file.works.find((candidate) => candidate.key === key);
    if (!work) throw new DitRuntimeError("DIT6004", `there are no variants of "${key}"`);
    if (!work.ways.some((way) => way.choice === choice)) {
      const known = work.ways.map((way) => way.choice).join(", ");
      throw new DitRuntimeError("DIT6004", `"${key}" has no variant "${choice}"`, `its variants are ${known}`);
    }
  }
  return applied(bundle, file, ({ key, ways }) => ways.find(({ choice }) => choice === choices[key]));
}

function checked(value: unknown, bundle: Bundle): Variants {
  const problems = validateVariants(value, bundle);
  if (problems.length === 0) return value as Variants;
  throw new DitRuntimeError("DIT6001", `variants.json is not valid:\n  ${problems.join("\n  ")}`, DAMAGED);
}

type Pick = (work: VariantWork) => VariantWay | undefined;

function applied(bundle: Bundle, file: Variants, pick: Pick): Bundle {
  const { program } = bundle;
  const replaced = new Map<string, Partial<Dispatch>>();
  const taken: string[] = [];
  for (const work of file.works) {
    const way = pick(work);
    if (!way) continue;
    taken.push(`${work.key}: ${way.choice}`);
    work.dispatches.forEach(({ entry, index }, i) => {
      const { uniforms, extent } = way.runs[i]!;
      replaced.set(`${entry} ${index}`, { kernel: program.kernels.length + way.kernel, uniforms, extent });
    });
  }
  if (taken.length === 0) return bundle;
  const entries = program.entries.map((entry) => {
    let index = 0;
    const segments = entry.segments.map((segment) => ({
      ...segment,
      dispatches: segment.dispatches.map((dispatch) => ({ ...dispatch, ...replaced.get(`${entry.name} ${index++}`) })),
    }));
    return { ...entry, segments };
  });
  const kernels = [...program.kernels, ...file.kernels];
  const hash = [program.hash, ...taken].join("; ");
  return { ...bundle, program: { ...program, hash, kernels, entries }, wgsl: { ...bundle.wgsl, ...file.texts } };
}

export interface SelectOptions {
  /** Default: the batch that the program was compiled for. */
  readonly batch?: number | undefined;
  /** Work of these entries alone. Default: all. */
  readonly entries?: readonly string[] | undefined;
  /** Rounds in which the ways take turns, after a warm-up; the fastest counts. Default 5. */
  readonly rounds?: number | undefined;
  /** Ends after what is being measured; what was found until then counts. */
  readonly signal?: AbortSignal | undefined;
  /** Hears of each way before it is measured. */
  readonly onWay?: ((done: number, total: number) => void) | undefined;
}

export interface Selected {
  /** The ways that are clearly faster than the compiler's own; for `withVariants`. */
  readonly choices: VariantChoices;
  /** Milliseconds of the compiler's own way and of each other, by key and choice. */
  readonly measured: Readonly<Record<string, { readonly own: number; readonly ways: Readonly<Record<string, number>> }>>;
}

/** A way must be so much faster than the compiler's own: less is noise. */
const CLEARLY = 0.97;
/** About how long a way is run at a time, so that starting it costs little beside it, and how often at most. */
const PIECE_MS = 4;
const MOST_REPEATS = 64;

/**
 * Measures the ways on a device, in memory of its own that is given back; nothing that a session holds is touched. Each is run in turns
 * with the compiler's own, and who is faster once more against it. Most of the time goes to the driver, which compiles each kernel.
 * Errors: DIT6001 (a damaged file), those of `createSession`.
 */
export async function selectVariants(
  bundle: Bundle,
  variants: unknown,
  device: GPUDevice,
  options: SelectOptions = {},
): Promise<Selected> {
  const file = checked(variants, bundle);
  const { batch, entries, rounds = 5, signal, onWay } = options;
  const works = file.works.filter(
    (work) => entries === undefined || work.dispatches.some(({ entry }) => entries.includes(entry)),
  );
  const open = (pick: Pick, repeats: Repeats): Promise<Session> =>
    createSession(bench(applied(bundle, file, pick), works, repeats), device, { batch });
  const own = () => undefined;
  const repeats = new Map<string, number>();
  const once = await open(own, repeats);
  try {
    for (const { key } of works) {
      await timed(once, key);
      repeats.set(key, Math.min(MOST_REPEATS, Math.max(1, Math.round(PIECE_MS / (await timed(once, key))))));
    }
  } finally {
    once.dispose();
  }
  const measured: Record<string, { own: number; ways: Record<string, number> }> = {};
  const best = new Map<string, VariantWay>();
  const usual = await open(own, repeats);
  /** Fastest of the rounds, of what is picked and of the compiler's own. */
  const beside = async (pick: Pick, note: (work: VariantWork, way: VariantWay, own: number, other: number) => void) => {
    const picked = works.filter((work) => pick(work));
    if (picked.length === 0) return;
    const other = await open(pick, repeats);
    try {
      const least = new Map(picked.map(({ key }) => [key, { own: Infinity, other: Infinity }]));
      for (let round = 0; round <= rounds; round++) {
        for (const { key } of picked) {
          const now = { own: await timed(usual, key), other: await timed(other, key) };
          const before = least.get(key)!;
          // The first round is warm-up: drivers compile at the first dispatch.
          if (round > 0) least.set(key, { own: Math.min(before.own, now.own), other: Math.min(before.other, now.other) });
        }
      }
      for (const work of picked) {
        const found = least.get(work.key)!;
        const each = repeats.get(work.key)!;
        note(work, pick(work)!, found.own / each, found.other / each);
      }
    } finally {
      other.dispose();
    }
  };
  try {
    const most = Math.max(0, ...works.map(({ ways }) => ways.length));
    for (let way = 0; way < most && !signal?.aborted; way++) {
      onWay?.(way, most);
      await beside(
        ({ ways }) => ways[way],
        ({ key }, { choice }, ownMs, ms) => {
          const known = measured[key] ?? { own: ownMs, ways: {} };
          measured[key] = { own: Math.min(known.own, ownMs), ways: { ...known.ways, [choice]: ms } };
        },
      );
    }
    for (const { key, ways } of works) {
      const { own: ownMs, ways: found } = measured[key] ?? { own: 0, ways: {} };
      const [fastest] = ways
        .filter(({ choice }) => found[choice] !== undefined)
        .sort((a, b) => found[a.choice]! - found[b.choice]!);
      if (fastest && found[fastest.choice]! < CLEARLY * ownMs) best.set(key, fastest);
    }
    const choices: Record<string, string> = {};
    await beside(
      ({ key }) => best.get(key),
      ({ key }, { choice }, ownMs, ms) => {
        if (ms < CLEARLY * ownMs) choices[key] = choice;
      },
    );
    onWay?.(most, most);
    return { choices, measured };
  } finally {
    usual.dispose();
  }
}

async function timed(session: Session, key: string): Promise<number> {
  const begin = performance.now();
  await session.submit(key);
  await session.idle();
  return performance.now() - begin;
}

type Repeats = ReadonlyMap<string, number>;

/**
 * A program of the works alone, each an entry with its first dispatch, so many times. Its memory is filled with zeros and never read by
 * anyone: what is an activation or an output there is a state here, which may be read before it is written.
 */
function bench(bundle: Bundle, works: readonly VariantWork[], repeats: Repeats): Bundle {
  const { program } = bundle;
  const dispatches = works.map(({ dispatches: [at] }) => dispatchAt(program, at!.entry, at!.index)!);
  const bound = dispatches.flatMap(({ bindings }) => bindings);
  const used = [...new Set(bound.flatMap((id) => [id, program.storages[id]!.within?.storage ?? id]))].sort((a, b) => a - b);
  const place = new Map(used.map((id, i) => [id, i]));
  const storages = used.map((id): Storage => {
    const { live: _, entry: __, within, kind, ...rest } = program.storages[id]!;
    return {
      ...rest,
      kind: kind === "activation" || kind === "output" || kind === "gradient" ? "state" : kind,
      name: `storage ${id}`,
      ...(within ? { within: { ...within, storage: place.get(within.storage)! } } : {}),
    };
  });
  const entries = dispatches.map((dispatch, i) => {
    const own = { ...dispatch, bindings: dispatch.bindings.map((id) => place.get(id)!) };
    const repeat = repeats.get(works[i]!.key) ?? 1;
    return { name: works[i]!.key, inputs: [], outputs: [], segments: [{ repeat, dispatches: [own] }] };
  });
  return { ...bundle, program: { ...program, storages, entries, parameters: [], constants: [] } };
}
