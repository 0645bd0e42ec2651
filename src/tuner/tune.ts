/**
 * Measures which way of each kernel of an entry is the fastest on this adapter. Each choice is made for all kernels at once, as a program of
 * its own, and held against the compiler's own choice: first its numbers, on the same inputs, and only then its time, dispatch by dispatch,
 * the two programs taking turns, so that a machine which slows down slows both. The winners together are one more program, which is
 * measured again the same way: who won by luck is found out there.
 */
import { matmulChoices } from "../codegen/kernels/matmul.js";
import { remakerOf } from "../compile/lower-again.js";
import { type Clock, type Submit, workingClock } from "../profiler/clock.js";
import { fillWeights, madeUpInputs } from "../profiler/fill.js";
import type { Bundle, Dispatch, Entry } from "../program/program.js";
import { deviceFacts, selectVariant } from "../runtime/device.js";
import { createSession, type Session } from "../runtime/session.js";
import type { Measured } from "./tuning-file.js";

export interface TuneOptions {
  readonly entry: string;
  readonly batch: number;
  /** Rounds in which two ways take turns; default 7. */
  readonly rounds?: number | undefined;
  /** Begin no further choice after so many seconds. */
  readonly seconds?: number | undefined;
  readonly memoryLimit?: number | undefined;
  /** Ends in good order after what is being measured. */
  readonly signal?: AbortSignal | undefined;
  readonly onChoice?: ((choice: string, kernels: number) => void) | undefined;
}

export interface Tuned {
  readonly clock: string;
  readonly kernels: readonly TunedKernel[];
  /** Milliseconds of all dispatches that have a choice, and of one pass of the entry, fastest of the rounds: the compiler's own choice, and tuned. */
  readonly chosenMs: Pair;
  readonly passMs: Pair;
  /** Choices whose numbers were wrong, and how: they took no part. */
  readonly wrong: readonly string[];
  /** Choices that were not tried, and why. */
  readonly leftOut: readonly string[];
}

export interface TunedKernel extends Measured {
  readonly key: string;
  /** Dispatches of the entry that have this work, and where in the model the first is. */
  readonly dispatches: number;
  readonly label: string;
}

export interface Pair {
  readonly own: number;
  readonly tuned: number;
}

/** Text beyond this is not tried: a driver's time to compile grows faster than the text, up to minutes. */
const MOST_TEXT = 48_000;
/** A way must be so much faster than the compiler's own choice: less is noise, and a choice that says nothing. */
const CLEARLY = 0.97;
/** Largest difference of two right ways, as a share of the largest number: f32 in another order, through all layers. */
const BOUND = 1e-3;

interface Place {
  readonly index: number;
  readonly dispatch: Dispatch;
  readonly dispatches: number;
}

/** Errors: those of `remakerOf` and `createSession`. */
export async function tune(bundle: Bundle, device: GPUDevice, options: TuneOptions): Promise<Tuned> {
  const { batch, rounds = 7, memoryLimit } = options;
  const { entry, make } = remakerOf(bundle, options.entry, batch);
  const own = make({});
  const places = placesOf(own.program.entries[0]!);
  const textOf = textsOn(device);
  const ownTexts = textOf(own);
  const open = (made: Bundle) => createSession(made, device, { batch, entries: [entry.name], memoryLimit });
  const until = options.seconds === undefined ? Infinity : performance.now() + 1000 * options.seconds;

  const session = await open(own);
  let clock: Clock | undefined;
  try {
    const inputs = madeUpInputs(entry, batch);
    const expected = await numbersOf(session, entry, inputs);
    const pieceOf =
      (of: Session): Piece =>
      (index) =>
      async (_from, _until, timestamps) => {
        await of.submit(entry.name, undefined, { from: index, until: index + 1, ...(timestamps ? { timestamps } : {}) });
        await of.idle();
      };
    clock = await workingClock(device, undefined, 1, pieceOf(session)(0));
    const compare = (other: Session, keys: readonly string[]) =>
      inTurns(clock!, pieceOf(session), pieceOf(other), places, keys, rounds);

    const best = new Map<string, { readonly choice: string; readonly ratio: number }>();
    const counts = new Map<string, number>();
    const wrong: string[] = [];
    const leftOut: string[] = [];
    for (const { name: choice } of matmulChoices) {
      if (options.signal?.aborted || performance.now() > until) {
        leftOut.push(`${choice}: ${options.signal?.aborted ? "stopped" : "no time left"}`);
        continue;
      }
      const texts = textOf(make({ choices: { matmul: choice } }));
      const differing = [...places.keys()].filter((key) => texts.get(key) !== ownTexts.get(key));
      const keys = differing.filter((key) => texts.get(key)!.length <= MOST_TEXT);
      if (keys.length < differing.length) {
        leftOut.push(`${choice}: ${differing.length - keys.length} kernels whose text is longer than ${MOST_TEXT} letters`);
      }
      if (keys.length === 0) continue;
      options.onChoice?.(choice, keys.length);
      const other = await open(make({ tuning: new Map(keys.map((key) => [key, choice])) }));
      try {
        const difference = differenceOf(expected, await numbersOf(other, entry, inputs));
        if (difference !== undefined) wrong.push(`${choice}: ${difference}`);
        else {
          for (const [key, pair] of await compare(other, keys)) {
            counts.set(key, (counts.get(key) ?? 0) + 1);
            const ratio = pair.us / pair.ownUs;
            if (ratio < Math.min(CLEARLY, best.get(key)?.ratio ?? Infinity)) best.set(key, { choice, ratio });
          }
        }
      } finally {
        other.dispose();
      }
    }

    const winners = new Map([...best].map(([key, { choice }]) => [key, choice]));
    const last = await open(make({ tuning: winners }));
    try {
      const difference = differenceOf(expected, await numbersOf(last, entry, inputs));
      if (difference !== undefined) wrong.push(`the fastest together: ${difference}`);
      const again = await compare(last, [...places.keys()]);
      const kernels = [...places].map(([key, { dispatch, dispatches }]): TunedKernel => {
        const { us, ownUs } = again.get(key)!;
        const choice = difference === undefined && us < CLEARLY * ownUs ? winners.get(key) : undefined;
        const kept = { ownUs, us: choice === undefined ? ownUs : us };
        return {
          key,
          dispatches,
          label: dispatch.label,
          ...(choice === undefined ? {} : { choice }),
          ...kept,
          tried: counts.get(key) ?? 0,
        };
      });
      const sum = (of: "us" | "ownUs") => kernels.reduce((total, k) => total + (k.dispatches * k[of]) / 1000, 0);
      return {
        clock: clock.kind,
        kernels: kernels.sort((a, b) => b.dispatches * b.ownUs - a.dispatches * a.ownUs),
        chosenMs: { own: sum("ownUs"), tuned: sum("us") },
        passMs: await passes(entry, session, last, rounds),
        wrong,
        leftOut,
      };
    } finally {
      last.dispose();
    }
  } finally {
    clock?.dispose();
    session.dispose();
  }
}

/** The first dispatch of each key, and how many there are in a run. */
function placesOf(entry: Entry): Map<string, Place> {
  const found = new Map<string, Place>();
  const all = entry.segments.flatMap((segment) => segment.dispatches.map((dispatch) => ({ dispatch, repeat: segment.repeat })));
  for (const [index, { dispatch, repeat }] of all.entries()) {
    const { choiceKey: key } = dispatch;
    if (key === undefined) continue;
    const known = found.get(key) ?? { index, dispatch, dispatches: 0 };
    found.set(key, { ...known, dispatches: known.dispatches + repeat });
  }
  return found;
}

/** The text of the variant that the device takes, by key. */
function textsOn(device: GPUDevice): (made: Bundle) => Map<string, string> {
  const facts = deviceFacts(device);
  return ({ program, wgsl }) =>
    new Map(
      [...placesOf(program.entries[0]!)].map(([key, { dispatch }]) => [
        key,
        wgsl[selectVariant(program.kernels[dispatch.kernel]!, program, facts).variant.file]!,
      ]),
    );
}

type Numbers = ReadonlyMap<string, ArrayLike<number>>;

/** What a first run on fresh weights leaves: outputs, and the first moments, which are the gradients. */
async function numbersOf(session: Session, entry: Entry, inputs: ReturnType<typeof madeUpInputs>): Promise<Numbers> {
  await fillWeights(session);
  const outputs = await session.run(entry.name, inputs);
  const moments = await session.read(session.names.filter((name) => name.startsWith("m.")));
  return new Map(Object.entries({ ...outputs, ...moments }) as [string, ArrayLike<number>][]);
}

/** Where two runs differ by more than the order of sums explains; undefined where they do not. */
export function differenceOf(expected: Numbers, found: Numbers): string | undefined {
  for (const [name, numbers] of expected) {
    const other = found.get(name)!;
    let [largest, worst] = [0, 0];
    for (let i = 0; i < numbers.length; i++) {
      largest = Math.max(largest, Math.abs(numbers[i]!));
      const apart = Math.abs(numbers[i]! - other[i]!);
      // A NaN on one side alone is as wrong as can be.
      worst = Math.max(worst, Number.isNaN(apart) ? (Object.is(numbers[i], other[i]) ? 0 : Infinity) : apart);
    }
    if (worst > BOUND * largest) return `${name} differs by ${(worst / largest).toExponential(1)} of its largest number`;
  }
  return undefined;
}

/** One dispatch of a program, to be timed. */
type Piece = (index: number) => Submit;

/** Microseconds of the fastest run of each dispatch in both programs, which take turns. */
async function inTurns(
  clock: Clock,
  own: Piece,
  other: Piece,
  places: ReadonlyMap<string, Place>,
  keys: readonly string[],
  rounds: number,
): Promise<Map<string, { readonly ownUs: number; readonly us: number }>> {
  const once = async (piece: Piece, index: number): Promise<number> => {
    const [span] = await clock.time(1, piece(index));
    return 1000 * (span!.end - span!.begin);
  };
  const found = new Map<string, { readonly ownUs: number; readonly us: number }>();
  // The first round is warm-up: drivers compile at the first dispatch.
  for (let round = -1; round < rounds; round++) {
    for (const key of keys) {
      const { index } = places.get(key)!;
      const [ownUs, us] = [await once(own, index), await once(other, index)];
      const known = round <= 0 ? undefined : found.get(key);
      found.set(key, { ownUs: Math.min(known?.ownUs ?? Infinity, ownUs), us: Math.min(known?.us ?? Infinity, us) });
    }
  }
  return found;
}

/** Milliseconds of the fastest pass of each, by the host's clock. */
async function passes({ name }: Entry, own: Session, tuned: Session, rounds: number): Promise<Pair> {
  const once = async (session: Session): Promise<number> => {
    const begin = performance.now();
    await session.submit(name, undefined, { from: 0 });
    await session.idle();
    return performance.now() - begin;
  };
  const best = { own: Infinity, tuned: Infinity };
  for (let round = -1; round < rounds; round++) {
    const [first, second] = [await once(own), await once(tuned)];
    if (round >= 0) Object.assign(best, { own: Math.min(best.own, first), tuned: Math.min(best.tuned, second) });
  }
  return best;
}
