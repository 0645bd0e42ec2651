/**
 * Encodes and submits an entry's dispatches. WebGPU has no command buffer that can be submitted twice, so the list is encoded anew at
 * each run, from pipelines and bind groups that were made once; that takes a few microseconds a dispatch.
 *
 * How the list is cut into submits changes no bit of the result. Without a budget a run is one submit. With one (a browser must
 * stay responsive, and some systems kill submits that take seconds) cuts fall between dispatches where their measured times fill it:
 * the first run tries small pieces and times them, later ones cut by what was learned. Two submits are on the way at most, so the
 * device never waits for the host, nor the host's memory grows with commands that nobody has run yet.
 */
import { DitRuntimeError } from "./errors.js";
import type { Guard } from "./guard.js";

export interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: number;
  readonly y: number;
  readonly label: string;
}

export interface RecordedSegment {
  readonly repeat: number;
  readonly steps: readonly Step[];
  /** Milliseconds a step is believed to take; NaN until timed. */
  readonly costs: Float64Array;
}

export interface RunOptions {
  /** Submits each round of a repeated segment by itself and reports when it is done. */
  readonly onStep?: ((done: number, total: number) => void) | undefined;
  /** Stops between submits. */
  readonly signal?: AbortSignal | undefined;
  /** Encoded after the last dispatch, in its submit. */
  readonly tail?: ((encoder: GPUCommandEncoder) => void) | undefined;
  readonly timestamps?: Timestamps | undefined;
}

/** Where the device's clock writes the begin and end of a dispatch, by its position in the run; each is then a pass of its own. */
export type Timestamps = (dispatch: number) => GPUComputePassTimestampWrites;

interface Range {
  readonly segment: RecordedSegment;
  readonly from: number;
  readonly to: number;
}

/** What goes into one submit; `rounds` are those of repeated segments that are complete after it. */
interface Unit {
  readonly ranges: readonly Range[];
  readonly rounds: number;
  readonly last: boolean;
}

const IN_FLIGHT = 2;
/** Steps of unknown cost are taken for this part of the budget. */
const UNKNOWN = 1 / 8;

export function encodeSteps(pass: GPUComputePassEncoder, steps: readonly Step[], from = 0, to = steps.length): void {
  let bound: GPUComputePipeline | undefined;
  for (let i = from; i < to; i++) {
    const step = steps[i]!;
    if (step.x === 0) continue;
    if (step.pipeline !== bound) {
      pass.setPipeline(step.pipeline);
      bound = step.pipeline;
    }
    pass.setBindGroup(0, step.group);
    pass.dispatchWorkgroups(step.x, step.y);
  }
}

export class Runner {
  readonly #device: GPUDevice;
  readonly #guard: Guard;
  readonly #budgetMs: number | undefined;
  /** Submits whose end nobody has seen yet, oldest first. */
  #flying: Promise<void>[] = [];
  #lastDone = 0;

  constructor(device: GPUDevice, guard: Guard, budgetMs: number | undefined) {
    this.#device = device;
    this.#guard = guard;
    this.#budgetMs = budgetMs;
  }

  /** Submits everything; returns when the last submit is made, not when it is done (`idle` waits for that). */
  async run(label: string, segments: readonly RecordedSegment[], options: RunOptions = {}): Promise<void> {
    let dispatch = 0;
    const total = segments.reduce((sum, { repeat }) => sum + (repeat > 1 ? repeat : 0), 0);
    for (const unit of cut(segments, this.#budgetMs, options.onStep !== undefined || options.signal !== undefined)) {
      while (this.#flying.length >= IN_FLIGHT) await this.#landed();
      this.#guard.check();
      if (options.signal?.aborted) {
        const text = `${label} was stopped after ${unit.rounds} of ${total} steps or less`;
        throw new DitRuntimeError("DIT6008", text, undefined, { cause: options.signal.reason });
      }
      const encoder = this.#device.createCommandEncoder({ label });
      if (options.timestamps) dispatch = encodeTimed(encoder, unit.ranges, dispatch, options.timestamps);
      else encodeUnit(encoder, label, unit.ranges);
      if (unit.last) options.tail?.(encoder);
      this.#submit(encoder, unit, () => {
        if (unit.rounds > 0) options.onStep?.(Math.min(unit.rounds, total), total);
      });
    }
    if (options.onStep) await this.idle();
  }

  /** Waits until all that was submitted is done. */
  async idle(): Promise<void> {
    while (this.#flying.length > 0) await this.#landed();
    this.#guard.check();
  }

  async #landed(): Promise<void> {
    await this.#guard.settle(this.#flying.shift()!);
  }

  #submit(encoder: GPUCommandEncoder, unit: Unit, onDone: () => void): void {
    const begin = performance.now();
    this.#device.queue.submit([encoder.finish()]);
    const done = this.#device.queue.onSubmittedWorkDone().then(() => {
      const now = performance.now();
      if (this.#budgetMs !== undefined) learn(unit.ranges, now - Math.max(begin, this.#lastDone));
      this.#lastDone = now;
      onDone();
    });
    // Whoever waits next hears of a failure; until then it must not count as unhandled.
    done.catch(() => {});
    this.#flying.push(done);
  }
}

function encodeUnit(encoder: GPUCommandEncoder, label: string, ranges: readonly Range[]): void {
  const pass = encoder.beginComputePass({ label });
  for (const { segment, from, to } of ranges) encodeSteps(pass, segment.steps, from, to);
  pass.end();
}

/** A pass for each dispatch, the first of them number `next` of the run; gives the number that comes after the last. */
function encodeTimed(encoder: GPUCommandEncoder, ranges: readonly Range[], next: number, timestamps: Timestamps): number {
  for (const { segment, from, to } of ranges) {
    for (let i = from; i < to; i++) {
      const pass = encoder.beginComputePass({ label: segment.steps[i]!.label, timestampWrites: timestamps(next++) });
      encodeSteps(pass, segment.steps, i, i + 1);
      pass.end();
    }
  }
  return next;
}

/** Cuts a run into submits, lazily: what the first ones teach already serves the later ones. */
function* cut(segments: readonly RecordedSegment[], budgetMs: number | undefined, byRound: boolean): Generator<Unit> {
  let ranges: Range[] = [];
  let rounds = 0;
  let filled = 0;
  const unit = (last: boolean): Unit => {
    const made = { ranges, rounds, last };
    [ranges, filled] = [[], 0];
    return made;
  };
  for (const segment of segments) {
    const { repeat, steps, costs } = segment;
    for (let round = 0; round < repeat; round++) {
      let from = 0;
      for (let i = 0; budgetMs !== undefined && i < steps.length; i++) {
        const cost = Number.isNaN(costs[i]!) ? budgetMs * UNKNOWN : costs[i]!;
        if (filled > 0 && filled + cost > budgetMs) {
          if (i > from) ranges.push({ segment, from, to: i });
          from = i;
          yield unit(false);
        }
        filled += cost;
      }
      if (from < steps.length) ranges.push({ segment, from, to: steps.length });
      if (repeat > 1) rounds++;
      const end = segment === segments.at(-1) && round === repeat - 1;
      if (byRound && budgetMs === undefined && repeat > 1 && !end) yield unit(false);
    }
  }
  yield unit(true);
}

/** Shares a submit's time out among its steps, in the proportions believed so far. */
function learn(ranges: readonly Range[], ms: number): void {
  let believed = 0;
  let unknown = 0;
  let count = 0;
  for (const { segment, from, to } of ranges) {
    for (let i = from; i < to; i++) {
      count++;
      if (Number.isNaN(segment.costs[i]!)) unknown++;
      else believed += segment.costs[i]!;
    }
  }
  const share = believed > 0 ? ms / believed : 1;
  for (const { segment, from, to } of ranges) {
    for (let i = from; i < to; i++) {
      const old = segment.costs[i]!;
      if (unknown > 0) {
        if (Number.isNaN(old)) segment.costs[i] = ms / count;
        continue;
      }
      const now = old * share;
      // The first times hold compilation too, so news of less is believed at once and news of more by and by.
      segment.costs[i] = now < old ? now : old * 0.75 + now * 0.25;
    }
  }
}
