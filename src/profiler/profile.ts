/**
 * A profile of one entry: what its dispatches have to do, how long each took, and what the adapter could do at most, all from one run of
 * one process. Measurements are interleaved (all dispatches, the ceilings, the whole pass, and again), so that a machine which slows down
 * slows them all; a dispatch's time is the median of its runs.
 */
import { fail } from "../diagnostics/diagnostic.js";
import type { Bundle, Entry, Program } from "../program/program.js";
import { deviceFacts } from "../runtime/device.js";
import { suggestion } from "../runtime/errors.js";
import { createSession, type Session } from "../runtime/session.js";
import { keepBusy, WARM_MS } from "./busy.js";
import { type Ceiling, copyCeiling, fmaCeiling } from "./ceilings.js";
import { type Clock, type ClockKind, type Span, type Submit, workingClock } from "./clock.js";
import { fillWeights, madeUpInputs } from "./fill.js";
import { type Item, itemsOf, kernelRows, lineRows, type Roofline, type Row, rowOf } from "./work.js";

export interface Profile {
  readonly program: string;
  readonly model: string;
  readonly entry: string;
  readonly batch: number;
  /** The whole entry, and the same by kernel and by source line; a run's repetitions are in all three. */
  readonly total: Row;
  readonly kernels: readonly Row[];
  readonly lines: readonly Row[];
  /** In order, each once. */
  readonly dispatches: readonly DispatchProfile[];
  /** Rates that `leastMs` is counted with: given ones, or the measured ceilings. */
  readonly roofline?: Roofline;
  readonly measured?: Measured;
}

export interface DispatchProfile extends Item {
  readonly kernelName: string;
  readonly variant?: string;
  /** Median of the runs; and the fastest. */
  readonly ms?: number;
  readonly minMs?: number;
}

export interface Measured {
  readonly clock: ClockKind;
  /** Nanoseconds that all timestamps seen are multiples of; only of the GPU's clock. */
  readonly tickNs?: number;
  /** By the host's clock: submitting nothing and waiting for it. */
  readonly emptySubmitMs: number;
  readonly runs: number;
  /** One pass through all segments in one submit, by the host's clock, median. */
  readonly passMs: number;
  /** Of each dispatch, in the run whose sum is the median. */
  readonly spans: readonly Span[];
}

export interface ProfileOptions {
  readonly entry: string;
  /** Default: the batch that the program was compiled for. */
  readonly batch?: number | undefined;
  /** Default: the GPU's, where the device has timestamps that are times. */
  readonly clock?: ClockKind | undefined;
  /** Of each dispatch, after warm-up; default 5. */
  readonly runs?: number | undefined;
  readonly memoryLimit?: number | undefined;
}

/** Without a device: the work, and with a roofline the least time for it. Error: DIT7020 (no such entry). */
export function staticProfile(
  program: Program,
  {
    entry: name,
    batch = program.batch,
    roofline,
  }: { entry: string; batch?: number | undefined; roofline?: Roofline | undefined },
): Profile {
  const entry = entryOf(program, name);
  return profileOf(program, entry, batch, itemsOf(entry, batch), roofline);
}

/**
 * Runs an entry on made-up weights and inputs and times it. The device stays the caller's. Errors: DIT7020 (no such entry), DIT7030 (no
 * timestamps, where they were asked for), and those of `createSession`.
 */
export async function profile(bundle: Bundle, device: GPUDevice, options: ProfileOptions): Promise<Profile> {
  const { program } = bundle;
  const { batch = program.batch, runs = 5, memoryLimit } = options;
  const entry = entryOf(program, options.entry);
  const items = itemsOf(entry, batch);
  const session = await createSession(bundle, device, { batch, entries: [entry.name], memoryLimit });
  const ceilings: Ceiling[] = [];
  let clock: Clock | undefined;
  try {
    await fillWeights(session);
    await session.submit(entry.name, madeUpInputs(entry, batch), { from: 0 });
    await session.idle();
    const submit: Submit = async (from, until, timestamps) => {
      await session.submit(entry.name, undefined, { from, until, ...(timestamps ? { timestamps } : {}) });
      await session.idle();
    };
    clock = await workingClock(device, options.clock, items.length, submit);
    ceilings.push(await fmaCeiling(device), await copyCeiling(device));
    // A CPU that stands in for a GPU needs no warming up; the host's clock would count what is still on its way.
    if (deviceFacts(device).hardware) await keepBusy(session, entry.name, WARM_MS);
    if (clock.kind === "host") await session.idle();
    const found = await measure(session, entry, clock, items.length, submit, ceilings, runs);
    const [fma, copy] = ceilings.map((ceiling, i) => ({ ceiling, ms: Math.min(...found.ceilings[i]!) }));
    const roofline: Roofline = {
      flopsPerSecond: (1e3 * fma!.ceiling.flops) / fma!.ms,
      bytesPerSecond: (1e3 * copy!.ceiling.bytes) / copy!.ms,
    };
    const variants = new Map(session.variants.map(({ kernel, variant }) => [kernel, variant]));
    return profileOf(program, entry, batch, items, roofline, {
      variants,
      times: items.map((_, i) => found.spans.map((spans) => durationOf(spans[i]!))),
      measured: {
        clock: clock.kind,
        ...(clock.tickNs === undefined ? {} : { tickNs: clock.tickNs }),
        emptySubmitMs: median(await emptySubmits(device)),
        runs,
        passMs: median(found.passes),
        spans: typical(found.spans),
      },
    });
  } finally {
    clock?.dispose();
    for (const ceiling of ceilings) ceiling.dispose();
    session.dispose();
  }
}

function entryOf(program: Program, name: string): Entry {
  const entry = program.entries.find((candidate) => candidate.name === name);
  if (entry) return entry;
  const names = program.entries.map((candidate) => candidate.name);
  return fail("DIT7020", `the bundle has no entry "${name}"`, { help: suggestion(name, names) });
}

interface Timed {
  readonly variants: ReadonlyMap<string, string>;
  /** Milliseconds of each run, by position. */
  readonly times: readonly (readonly number[])[];
  readonly measured: Measured;
}

function profileOf(
  program: Program,
  entry: Entry,
  batch: number,
  items: readonly Item[],
  roofline: Roofline | undefined,
  timed?: Timed,
): Profile {
  const known = { roofline, ms: timed?.times.map(median) };
  const { name, preset } = program.model;
  return {
    program: program.hash,
    model: preset === "" ? name : `${name} ${preset}`,
    entry: entry.name,
    batch,
    total: rowOf(entry.name, "", items, known),
    kernels: kernelRows(program, items, known, timed?.variants),
    lines: lineRows(items, known),
    dispatches: items.map((item, i): DispatchProfile => {
      const kernelName = program.kernels[item.kernel]!.name;
      if (!timed) return { ...item, kernelName };
      const variant = timed.variants.get(kernelName)!;
      return { ...item, kernelName, variant, ms: known.ms![i]!, minMs: Math.min(...timed.times[i]!) };
    }),
    ...(roofline ? { roofline } : {}),
    ...(timed ? { measured: timed.measured } : {}),
  };
}

async function measure(
  session: Session,
  { name }: Entry,
  clock: Clock,
  count: number,
  submit: Submit,
  ceilings: readonly Ceiling[],
  runs: number,
) {
  const spans: Span[][] = [];
  const passes: number[] = [];
  const ceilingMs: number[][] = ceilings.map(() => []);
  for (let run = 0; run < runs; run++) {
    spans.push(await clock.time(count, submit));
    for (const [i, ceiling] of ceilings.entries()) {
      const [span] = await clock.time(1, (_from, _until, timestamps) => ceiling.run(timestamps));
      ceilingMs[i]!.push(durationOf(span!));
    }
    const begin = performance.now();
    await session.submit(name, undefined, { from: 0 });
    await session.idle();
    passes.push(performance.now() - begin);
  }
  return { spans, passes, ceilings: ceilingMs };
}

async function emptySubmits(device: GPUDevice): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < 20; i++) {
    const begin = performance.now();
    device.queue.submit([device.createCommandEncoder().finish()]);
    await device.queue.onSubmittedWorkDone();
    times.push(performance.now() - begin);
  }
  return times;
}

const durationOf = ({ begin, end }: Span): number => end - begin;

/** The run in the middle, when runs are put in order by their sums. */
function typical(runs: readonly (readonly Span[])[]): readonly Span[] {
  const sum = (spans: readonly Span[]) => spans.reduce((total, span) => total + durationOf(span), 0);
  return [...runs].sort((a, b) => sum(a) - sum(b))[(runs.length - 1) >> 1]!;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
