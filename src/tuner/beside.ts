/**
 * The program of the compiler's own choices, beside which others of the same entry are held: do they give the same numbers, and how long
 * does each dispatch take? The two take turns, so that a machine which slows down slows both, and the fastest of the rounds counts.
 */
import { keepBusy } from "../profiler/busy.js";
import { type Clock, type Span, type Submit, workingClock } from "../profiler/clock.js";
import { fillWeights, madeUpInputs } from "../profiler/fill.js";
import type { Bundle, Entry, Program } from "../program/program.js";
import { deviceFacts } from "../runtime/device.js";
import { createSession, type Session } from "../runtime/session.js";
import { type Place, placesOf } from "./places.js";

/** Of the compiler's own choice, and of the other. */
export interface Pair {
  readonly own: number;
  readonly tuned: number;
}

export interface BesideOptions {
  readonly entry: Entry;
  readonly batch: number;
  readonly rounds: number;
  readonly memoryLimit?: number | undefined;
}

/** How long a GPU is kept at work before each pass that is timed: there are two in a round, so it hardly rests between them. */
const BUSY_MS = 40;
/** Largest difference of two right programs, as a share of the largest number: f32 in another order, through all layers. */
const BOUND = 1e-3;

export class Beside {
  private constructor(
    private readonly device: GPUDevice,
    private readonly options: BesideOptions,
    private readonly own: Session,
    private readonly expected: Numbers,
    private readonly clock: Clock,
  ) {}

  /** Errors: those of `createSession`. */
  static async open(made: Bundle, device: GPUDevice, options: BesideOptions): Promise<Beside> {
    const own = await open(made, device, options);
    try {
      const expected = await numbersOf(own, options);
      const clock = await workingClock(device, undefined, 1, dispatchesOf(own, options.entry, 0));
      return new Beside(device, options, own, expected, clock);
    } catch (error) {
      own.dispose();
      throw error;
    }
  }

  /** Which clock: "gpu" or "host". */
  get kind(): Clock["kind"] {
    return this.clock.kind;
  }

  /** Opens another program for as long as `use` takes; `difference` says where its numbers are wrong, and is undefined where they are right. */
  async with<T>(made: Bundle, use: (other: Session, difference: string | undefined) => Promise<T>): Promise<T> {
    const other = await open(made, this.device, this.options);
    try {
      return await use(other, differenceOf(this.expected, await numbersOf(other, this.options)));
    } finally {
      other.dispose();
    }
  }

  /** Microseconds of the work of each key, once. */
  async dispatches(other: Session, keys: readonly string[]): Promise<Map<string, Pair>> {
    const found = new Map<string, Pair>();
    const note = (key: string, now: Pair): void => {
      found.set(key, fastest(found.get(key), now));
    };
    const [ownPlaces, otherPlaces] = [this.placesIn(this.own), this.placesIn(other)];
    await this.inRounds(async (warm) => {
      if (this.whole) {
        const [own, tuned] = [await this.passOf(this.own), await this.passOf(other)];
        const at = (times: readonly number[], { index, dispatches }: Place): number =>
          sum(times.slice(index, index + dispatches.length));
        if (warm)
          for (const key of keys) note(key, { own: at(own, ownPlaces.get(key)!), tuned: at(tuned, otherPlaces.get(key)!) });
        return;
      }
      for (const key of keys) {
        const own = await this.alone(this.own, ownPlaces.get(key)!);
        const now = { own, tuned: await this.alone(other, otherPlaces.get(key)!) };
        if (warm) note(key, now);
      }
    });
    return found;
  }

  private placesIn({ program }: Session): Map<string, Place> {
    return placesOf(program, entryOf(program, this.options.entry));
  }

  /** Microseconds of one piece of work alone. */
  private async alone(session: Session, { index, dispatches }: Place): Promise<number> {
    const spans = await this.clock.time(dispatches.length, dispatchesOf(session, this.options.entry, index));
    return sum(spans.map(microseconds));
  }

  /** Microseconds of each dispatch of a pass, which comes right behind others of the same program. */
  private async passOf(session: Session): Promise<number[]> {
    await this.keepBusy(session);
    const { segments } = entryOf(session.program, this.options.entry);
    const count = sum(segments.map((segment) => segment.dispatches.length));
    return (await this.clock.time(count, dispatchesOf(session, this.options.entry, 0))).map(microseconds);
  }

  /**
   * Whether whole passes are timed, each dispatch in its place. A GPU lowers its clock rate when all it has is a dispatch now and then; a CPU
   * that stands in for one does not, and is rather spared what need not be run.
   */
  private get whole(): boolean {
    return this.clock.kind === "gpu" && this.hardware;
  }

  private get hardware(): boolean {
    return deviceFacts(this.device).hardware;
  }

  /** Of a GPU alone, see `whole`. */
  private async keepBusy(session: Session): Promise<void> {
    if (this.hardware) await keepBusy(session, this.options.entry.name, BUSY_MS);
  }

  /** Milliseconds of one pass of the entry, by the host's clock. */
  async passes(other: Session): Promise<Pair> {
    const once = async (session: Session): Promise<number> => {
      await this.keepBusy(session);
      await session.idle();
      const begin = performance.now();
      await session.submit(this.options.entry.name, undefined, { from: 0 });
      await session.idle();
      return performance.now() - begin;
    };
    let best: Pair | undefined;
    await this.inRounds(async (warm) => {
      const now = { own: await once(this.own), tuned: await once(other) };
      if (warm) best = fastest(best, now);
    });
    return best!;
  }

  dispose(): void {
    this.clock.dispose();
    this.own.dispose();
  }

  /** The first round is warm-up: drivers compile at the first dispatch. */
  private async inRounds(round: (warm: boolean) => Promise<void>): Promise<void> {
    for (let i = 0; i <= this.options.rounds; i++) await round(i > 0);
  }
}

const fastest = (before: Pair | undefined, now: Pair): Pair =>
  before ? { own: Math.min(before.own, now.own), tuned: Math.min(before.tuned, now.tuned) } : now;

const open = (made: Bundle, device: GPUDevice, { entry, batch, memoryLimit }: BesideOptions): Promise<Session> =>
  createSession(made, device, { batch, entries: [entry.name], memoryLimit });

/** Dispatches by number, the first of them `first`. */
const dispatchesOf =
  (session: Session, { name }: Entry, first: number): Submit =>
  async (from, until, timestamps) => {
    await session.submit(name, undefined, { from: first + from, until: first + until, ...(timestamps ? { timestamps } : {}) });
    await session.idle();
  };

const entryOf = ({ entries }: Program, { name }: Entry): Entry => entries.find((entry) => entry.name === name)!;

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

const microseconds = ({ begin, end }: Span): number => 1000 * (end - begin);

type Numbers = ReadonlyMap<string, ArrayLike<number>>;

/** What a first run on fresh weights leaves: outputs, and the first moments, which are the gradients. */
async function numbersOf(session: Session, { entry, batch }: BesideOptions): Promise<Numbers> {
  await fillWeights(session);
  const outputs = await session.run(entry.name, madeUpInputs(entry, batch));
  const moments = await session.read(session.names.filter((name) => name.startsWith("m.")));
  return new Map(Object.entries({ ...outputs, ...moments }) as [string, ArrayLike<number>][]);
}

/** Where two runs differ by more than the order of sums explains; undefined where they do not. */
export function differenceOf(expected: Numbers, found: Numbers): string | undefined {
  for (const [name, numbers] of expected) {
    const other = found.get(name)!;
    // Hundreds of millions of them where a large model trains: plain comparisons.
    let [largest, worst] = [0, 0];
    for (let i = 0; i < numbers.length; i++) {
      const x = numbers[i]!;
      const y = other[i]!;
      const size = x < 0 ? -x : x;
      if (size > largest && size < Infinity) largest = size;
      const apart = x < y ? y - x : x - y;
      // What is no number, or endless, on one side alone is as wrong as can be.
      if (apart > worst) worst = apart;
      else if (Number.isNaN(apart) && !Object.is(x, y)) worst = Infinity;
    }
    if (worst > BOUND * largest) return `${name} differs by ${(worst / largest).toExponential(1)} of its largest number`;
  }
  return undefined;
}
