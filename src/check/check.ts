/**
 * A run held against the reference, dispatch by dispatch: before each dispatch some of the numbers that it is to write are computed in f64
 * from what lies in its operands' memory at that moment (the CPU reference, on the few numbers that they depend on: ir/eval-box.ts); then
 * it runs, and what it wrote is compared. So each kernel is judged alone, by its own inputs, at any size of the model, and the run's own
 * results are those that it has without.
 *
 * What is allowed follows from f32 itself: the same reference, rounded to f32 at every operation, misses the exact numbers by so much;
 * 20 times the most that it does is allowed (as for the golden data), and 4 units in the last place of the largest number, which WGSL allows
 * a single exponential, root or division. Whole numbers and decisions must be equal.
 */
import type { Computation } from "../codegen/computation.js";
import type { computationsOf } from "../compile/lower-again.js";
import { concreteShape } from "../ir/eval.js";
import { BoxEvaluator, type ReadBox } from "../ir/eval-box.js";
import { rowMajor } from "../ir/strides.js";
import type { TensorType } from "../ir/types.js";
import type { Bundle } from "../program/program.js";
import { drawBits, drawInt, keyOf, purposeOf } from "../program/random.js";
import { evaluate } from "../program/size.js";
import type { Inputs } from "../runtime/inputs.js";
import { collectAfter } from "../runtime/node/heap.js";
import type { Session } from "../runtime/session.js";
import { type Lying, Pages } from "./pages.js";
import { sumOfSquares } from "./squares.js";

export interface CheckOptions {
  /** Outputs of each result of a dispatch that are computed again; default 64. The first and the last are always among them. */
  readonly samples?: number | undefined;
  /** Of which ones. */
  readonly seed?: number | undefined;
  readonly onDispatch?: ((done: number, total: number) => void) | undefined;
}

/** The number that is farthest from what it should be, of one result of one dispatch. */
export interface Deviation {
  readonly entry: string;
  /** Position in the entry's flat list, and the round of its segment. */
  readonly dispatch: number;
  readonly round: number;
  readonly label: string;
  readonly kernel: string;
  readonly variant: string;
  readonly place: readonly number[];
  readonly found: number;
  readonly expected: number;
  readonly allowed: number;
  /** How much of what is allowed it is off; above 1 it is wrong. */
  readonly share: number;
}

export interface Checked {
  readonly dispatches: number;
  readonly outputs: number;
  /** Of them, those that are exactly 0: they say little. */
  readonly zeros: number;
  readonly worst: Deviation | undefined;
  /** Results of dispatches with a number that is wrong, in the order of the run. */
  readonly wrong: readonly Deviation[];
}

/** Numbers of one result of a dispatch: what they should be, and where they will be. */
export interface Expected {
  readonly places: readonly (readonly number[])[];
  readonly exact: readonly number[];
  readonly allowed: number;
  /** Reads what was written there. */
  readonly read: () => Promise<readonly number[]>;
}

/** Numbers of a result that are computed at once: what they read, they read together, and each may be a sum over all of a tensor. */
const TOGETHER = 8;

/** Bytes, most of them no longer used, that may have come before they are given back. */
const MOST_NEW = 64 << 20;

/** What a check of one session shares. */
export class Checker {
  private readonly pages: Pages;
  private readonly found = {
    dispatches: 0,
    outputs: 0,
    zeros: 0,
    wrong: [] as Deviation[],
    worst: undefined as Deviation | undefined,
  };

  constructor(
    private readonly session: Session,
    private readonly bundle: Bundle,
    private readonly computations: ReturnType<typeof computationsOf>,
    private readonly options: CheckOptions = {},
  ) {
    this.pages = new Pages(session);
  }

  get checked(): Checked {
    return this.found;
  }

  /** Runs an entry as `submit` does, and checks it. Errors: those of the session. */
  async run(entry: string, inputs: Inputs): Promise<void> {
    const computations = this.computations.get(entry)!;
    await this.session.feed(entry, inputs);
    const { segments } = this.bundle.program.entries.find(({ name }) => name === entry)!;
    const total = segments.reduce((n, { repeat, dispatches }) => n + repeat * dispatches.length, 0);
    let [base, done] = [0, 0];
    for (const { repeat, dispatches } of segments) {
      for (let round = 0; round < repeat; round++) {
        for (const i of dispatches.keys()) {
          await this.dispatch(entry, base + i, round, computations[base + i]!);
          this.options.onDispatch?.(++done, total);
        }
      }
      base += dispatches.length;
    }
  }

  private async dispatch(entry: string, number: number, round: number, computations: readonly Computation[]): Promise<void> {
    this.pages.forget();
    const [first] = computations;
    const squares = first && (await sumOfSquares(this.session, first, this.pages));
    // What makes nothing of its own, a part of a product, is checked by what becomes of it.
    const expected = squares ? [squares] : first ? await this.sampled(number, round, computations) : [];
    await this.session.submit(entry, undefined, { from: number, until: number + 1 });
    this.pages.forget();
    this.found.dispatches++;
    for (const one of expected) this.compare(entry, number, round, one, await one.read());
    collectAfter(MOST_NEW);
  }

  /** Of each result, some of its numbers; where a dispatch does the same for many weights, of the one or the other of them. */
  private async sampled(number: number, round: number, computations: readonly Computation[]): Promise<Expected[]> {
    const { samples = 64, seed = 0 } = this.options;
    const { batch } = this.session;
    const evaluators = computations.map(({ body, params }) => {
      const read = this.reader(
        body.params.map((p) => p.value.type),
        params,
      );
      const [exact, plain] = (["f64", "f32"] as const).map((precision) => new BoxEvaluator(body, read, { batch, precision }));
      return { exact: exact!, plain: plain! };
    });
    return Promise.all(
      computations[0]!.body.results.map(async (first, result): Promise<Expected> => {
        const shapes = computations.map(({ body }) => concreteShape(body.results[result]!.value.type, batch));
        const total = shapes.reduce((n, shape) => n + count(shape), 0);
        const most = Math.min(samples, total);
        const key = keyOf(seed, purposeOf(`check ${result}`), number);
        const numberAt = async (i: number) => {
          const drawn = drawInt(drawBits(key, i, round), total);
          const { which, at } = partOf(shapes, total === most || i === 0 ? i : i === most - 1 ? total - 1 : drawn);
          const place = coordinates(at, shapes[which]!);
          const box = place.map((from) => ({ from, size: 1 }));
          const { exact, plain } = evaluators[which]!;
          const [[x], [rounded]] = await Promise.all([exact.result(result, box), plain.result(result, box)]);
          return { place, box, lying: this.lying(computations[which]!, result), exact: x!, stray: differ(x!, rounded!) };
        };
        const numbers: Awaited<ReturnType<typeof numberAt>>[] = [];
        for (let i = 0; i < most; i += TOGETHER) {
          const group = Array.from({ length: Math.min(TOGETHER, most - i) }, (_, k) => numberAt(i + k));
          numbers.push(...(await Promise.all(group)));
        }
        const stray = Math.max(0, ...numbers.map((n) => n.stray));
        const largest = Math.max(0, ...numbers.map((n) => Math.abs(n.exact)).filter(Number.isFinite));
        const { dtype } = first.value.type;
        const real = dtype === "f32" || dtype === "f16";
        return {
          places: numbers.map(({ place }) => place),
          exact: numbers.map(({ exact }) => exact),
          allowed: real && Number.isFinite(stray) ? 20 * stray + 4 * (dtype === "f16" ? 2 ** -10 : 2 ** -23) * largest : 0,
          read: () => Promise.all(numbers.map(async ({ lying, box }) => (await this.pages.box(lying, box))[0]!)),
        };
      }),
    );
  }

  /** Reads boxes of operands; both evaluators ask for the same ones at the same time, and share them. */
  private reader(types: readonly TensorType[], storages: readonly number[]): ReadBox {
    const lying = types.map(({ dtype, shape }, i): Lying => {
      const strides = rowMajor(shape).map((size) => evaluate(size, this.session.batch));
      return { storage: storages[i]!, dtype, strides, offset: 0 };
    });
    const asked = new Map<string, Promise<Float64Array>>();
    return (param, box) => {
      const key = `${param} ${box.map(({ from, size }) => `${from}+${size}`).join()}`;
      const known = asked.get(key);
      if (known) return known;
      const numbers = this.pages.box(lying[param]!, box).finally(() => asked.delete(key));
      asked.set(key, numbers);
      return numbers;
    };
  }

  private lying({ body, results }: Computation, result: number): Lying {
    const { type } = body.results[result]!.value;
    const { storage, window } = results[result]!;
    const concrete = (sizes: Parameters<typeof rowMajor>[0]) => sizes.map((size) => evaluate(size, this.session.batch));
    const [offset] = concrete([window?.offset ?? 0]);
    return { storage, dtype: type.dtype, strides: concrete(window?.strides ?? rowMajor(type.shape)), offset: offset! };
  }

  private compare(
    entry: string,
    dispatch: number,
    round: number,
    { places, exact, allowed }: Expected,
    numbers: readonly number[],
  ): void {
    let worst = -1;
    let apart = -1;
    numbers.forEach((x, i) => {
      this.found.outputs++;
      if (x === 0) this.found.zeros++;
      const d = differ(x, exact[i]!);
      if (d > apart) [apart, worst] = [d, i];
    });
    if (worst < 0) return;
    const share = apart === 0 ? 0 : apart / allowed;
    if (share <= (this.found.worst?.share ?? -1) && share <= 1) return;
    const { kernels, entries } = this.bundle.program;
    const { label, kernel } = entries.find(({ name }) => name === entry)!.segments.flatMap((s) => s.dispatches)[dispatch]!;
    const { name } = kernels[kernel]!;
    const variant = this.session.variants.find((v) => v.kernel === name)?.variant ?? "";
    const at = { entry, dispatch, round, label, kernel: name, variant, place: places[worst]! };
    const deviation: Deviation = { ...at, found: numbers[worst]!, expected: exact[worst]!, allowed, share };
    if (share > (this.found.worst?.share ?? -1)) this.found.worst = deviation;
    if (share > 1) this.found.wrong.push(deviation);
  }
}

/** Infinite when one is not finite where the other is. */
function differ(a: number, b: number): number {
  if (Object.is(a, b)) return 0;
  const d = Math.abs(a - b);
  return Number.isNaN(d) ? Number.POSITIVE_INFINITY : d;
}

const count = (shape: readonly number[]): number => shape.reduce((n, size) => n * size, 1);

/** Where a number of several tensors, taken one after the other, is. */
function partOf(shapes: readonly (readonly number[])[], number: number): { readonly which: number; readonly at: number } {
  let at = number;
  for (const [which, shape] of shapes.entries()) {
    if (at < count(shape)) return { which, at };
    at -= count(shape);
  }
  return { which: 0, at: 0 };
}

/** Of an element in row-major order. */
function coordinates(at: number, shape: readonly number[]): number[] {
  const place: number[] = [];
  let rest = at;
  for (const size of shape.toReversed()) {
    place.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return place;
}
