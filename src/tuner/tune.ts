/**
 * Finds which way of each kernel of an entry is the fastest on this adapter. Each choice is made for all kernels at once, as a program of
 * its own, and held beside the compiler's own choice (beside.ts): first its numbers, and only then its time, dispatch by dispatch. The
 * winners together are one more program, which is held beside it the same way: who won by luck is found out there.
 */
import { matmulChoices, withBaked } from "../codegen/kernels/matmul.js";
import { MOST_TEXT } from "../compile/choices.js";
import { type Remaker, remakerOf } from "../compile/lower-again.js";
import type { Bundle } from "../program/program.js";
import { evaluate } from "../program/size.js";
import { type DeviceFacts, deviceFacts } from "../runtime/device.js";
import { Beside, type Pair } from "./beside.js";
import { type Place, placesOf } from "./places.js";
import type { Measured } from "./tuning-file.js";
import { Untried } from "./untried.js";

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
  /** Microseconds of each choice that was tried, in the order of trying; before the winners were measured again. */
  readonly ways: Readonly<Record<string, number>>;
}

/** Kinds of work that are tried with their sizes in the text, too. */
const MOST_BAKED = 16;
/** A way must be so much faster than the compiler's own choice: less is noise, and a choice that says nothing. */
const CLEARLY = 0.97;
/** Errors: those of `remakerOf` and `createSession`. */
export async function tune(bundle: Bundle, device: GPUDevice, options: TuneOptions): Promise<Tuned> {
  const { batch, rounds = 7, memoryLimit } = options;
  const { entry, make } = remakerOf(bundle, options.entry, batch);
  const own = make({});
  const beside = await Beside.open(own, device, { entry, batch, rounds, memoryLimit });
  try {
    const trials = await tryAll(beside, own, make, deviceFacts(device), options);
    return await confirmed(beside, make, trials);
  } finally {
    beside.dispose();
  }
}

/** What came of trying every choice: for each work the fastest, and how many there were. */
interface Trials {
  readonly places: ReadonlyMap<string, Place>;
  readonly winners: ReadonlyMap<string, string>;
  /** Microseconds by work and choice. */
  readonly tried: ReadonlyMap<string, Readonly<Record<string, number>>>;
  readonly wrong: readonly string[];
  readonly leftOut: readonly string[];
}

async function tryAll(
  beside: Beside,
  own: Bundle,
  make: Remaker["make"],
  facts: DeviceFacts,
  options: TuneOptions,
): Promise<Trials> {
  const { signal, seconds = Infinity, onChoice } = options;
  const until = performance.now() + 1000 * seconds;
  const places = placesOf(own.program, own.program.entries[0]!);
  const untried = new Untried(own, facts);
  const best = new Map<string, { readonly choice: string; readonly ratio: number }>();
  const tried = new Map<string, Record<string, number>>();
  const wrong: string[] = [];
  const leftOut: string[] = [];
  const attempt = async (choice: string, among: readonly string[], choiceOf: (key: string) => string): Promise<void> => {
    if (signal?.aborted || performance.now() > until) {
      leftOut.push(`${choice}: ${signal?.aborted ? "stopped" : "no time left"}`);
      return;
    }
    const makeFor = (keys: readonly string[]): Bundle => make({ tuning: new Map(keys.map((key) => [key, choiceOf(key)])) });
    const all = makeFor(among);
    const { keys, tooLong } = untried.of(choice, all, among);
    if (tooLong > 0) leftOut.push(`${choice}: ${tooLong} kernels whose text is longer than ${MOST_TEXT} letters`);
    if (keys.length === 0) return;
    onChoice?.(choice, keys.length);
    // All other work as it is: nothing runs, and nothing is compiled, that is not measured.
    const made = keys.length === among.length ? all : makeFor(keys);
    untried.note(keys, made);
    await beside.with(made, async (other, difference) => {
      if (difference !== undefined) {
        wrong.push(`${choice}: ${difference}`);
        return;
      }
      for (const [key, us] of await beside.dispatches(other, keys)) {
        tried.set(key, { ...tried.get(key), [choice]: us.tuned });
        const ratio = us.tuned / us.own;
        if (ratio < Math.min(CLEARLY, best.get(key)?.ratio ?? Infinity)) best.set(key, { choice: choiceOf(key), ratio });
      }
    });
  };
  // On a GPU the forms for vectors of a CPU come last, in case the time is short: they take as long there as all others together, and win nothing.
  const last = ({ onVectors = false }): number => Number(facts.hardware && onVectors);
  for (const { name } of matmulChoices.toSorted((a, b) => last(a) - last(b))) await attempt(name, [...places.keys()], () => name);
  // A kernel for each shape: of the heaviest, and of the best design alone.
  const macs = ({ dispatches, runs }: Place): number => runs * evaluate(dispatches[0]!.work.macs, options.batch);
  const heaviest = [...places].sort(([, x], [, y]) => macs(y) - macs(x)).slice(0, MOST_BAKED);
  const winner = new Map([...best].map(([key, { choice }]) => [key, choice]));
  await attempt(
    "baked",
    heaviest.map(([key]) => key),
    (key) => withBaked(winner.get(key)),
  );
  return { places, winners: new Map([...best].map(([key, { choice }]) => [key, choice])), tried, wrong, leftOut };
}

/** The winners, measured once more as one program. */
function confirmed(beside: Beside, make: Remaker["make"], { places, winners, tried, wrong, leftOut }: Trials): Promise<Tuned> {
  return beside.with(make({ tuning: winners }), async (other, difference) => {
    const times = await beside.dispatches(other, [...places.keys()]);
    const kernels = [...places].map(([key, { dispatches, runs }]): TunedKernel => {
      const { own: ownUs, tuned } = times.get(key)!;
      const choice = difference === undefined && tuned < CLEARLY * ownUs ? winners.get(key) : undefined;
      const found = choice === undefined ? { us: ownUs } : { choice, us: tuned };
      const ways = tried.get(key) ?? {};
      return { key, dispatches: runs, label: dispatches[0]!.label, ownUs, ...found, tried: Object.keys(ways).length, ways };
    });
    const sum = (of: "us" | "ownUs") => kernels.reduce((total, k) => total + (k.dispatches * k[of]) / 1000, 0);
    return {
      clock: beside.kind,
      kernels: kernels.sort((a, b) => b.dispatches * b.ownUs - a.dispatches * a.ownUs),
      chosenMs: { own: sum("ownUs"), tuned: sum("us") },
      passMs: await beside.passes(other),
      wrong: difference === undefined ? wrong : [...wrong, `the fastest together: ${difference}`],
      leftOut,
    };
  });
}
