/**
 * Two clocks for GPU work. The device's own writes a timestamp before and after each dispatch (feature `timestamp-query`). Where there is
 * none, each dispatch is submitted alone and the host waits for it: that time holds the submit and the waking up, too.
 */
import { DitError, fail } from "../diagnostics/diagnostic.js";
import type { Timestamps } from "../runtime/runner.js";

export type ClockKind = "gpu" | "host";

/** Milliseconds since the first span of its list began. */
export interface Span {
  readonly begin: number;
  readonly end: number;
}

/** Submits the pieces from one number up to before another, each with its timestamps, and resolves when the device has done them. */
export type Submit = (from: number, until: number, timestamps?: Timestamps) => Promise<unknown>;

export interface Clock {
  readonly kind: ClockKind;
  /** Times pieces of work, one after the other. Error: DIT7030 (timestamps that are none). */
  time(count: number, submit: Submit): Promise<Span[]>;
  /** Nanoseconds that all times seen so far are multiples of; undefined before any, and for the host's clock. */
  readonly tickNs: number | undefined;
  dispose(): void;
}

/** The wanted clock, or the best that works: some drivers offer timestamps and write none. */
export async function workingClock(
  device: GPUDevice,
  wanted: ClockKind | undefined,
  count: number,
  submit: Submit,
): Promise<Clock> {
  const attempt = async (kind: ClockKind) => {
    const clock = clockOf(device, kind);
    try {
      await clock.time(count, submit);
      return clock;
    } catch (error) {
      clock.dispose();
      throw error;
    }
  };
  if (wanted) return attempt(wanted);
  if (!device.features.has("timestamp-query")) return attempt("host");
  try {
    return await attempt("gpu");
  } catch (error) {
    if (!(error instanceof DitError) || error.diagnostics[0]?.code !== "DIT7030") throw error;
    return attempt("host");
  }
}

const clockOf = (device: GPUDevice, kind: ClockKind): Clock => (kind === "gpu" ? new DeviceClock(device) : new HostClock());

/** GPUBufferUsage and GPUMapMode; the named constants are globals only in browsers. */
const usage = { mapRead: 1, copySource: 4, copyTarget: 8, queryResolve: 0x200 } as const;
const MAP_READ = 1;
/** A query set has at most 4096 places. */
const PIECES = 2048;

class DeviceClock implements Clock {
  readonly kind = "gpu";
  readonly #device: GPUDevice;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #staging: GPUBuffer;
  #tick = 0n;

  constructor(device: GPUDevice) {
    if (!device.features.has("timestamp-query")) {
      fail("DIT7030", "this adapter has no timestamps", { help: "--clock host times each dispatch from outside" });
    }
    const size = 8 * 2 * PIECES;
    this.#device = device;
    this.#queries = device.createQuerySet({ type: "timestamp", count: 2 * PIECES });
    this.#resolved = device.createBuffer({ size, usage: usage.queryResolve | usage.copySource });
    this.#staging = device.createBuffer({ size, usage: usage.mapRead | usage.copyTarget });
  }

  get tickNs(): number | undefined {
    return this.#tick === 0n ? undefined : Number(this.#tick);
  }

  async time(count: number, submit: Submit): Promise<Span[]> {
    const stamps: bigint[] = [];
    for (let from = 0; from < count; from += PIECES) {
      const until = Math.min(count, from + PIECES);
      await submit(from, until, (piece) => ({
        querySet: this.#queries,
        beginningOfPassWriteIndex: 2 * piece,
        endOfPassWriteIndex: 2 * piece + 1,
      }));
      stamps.push(...(await this.#read(2 * (until - from))));
    }
    const start = stamps[0] ?? 0n;
    for (const [i, stamp] of stamps.entries()) {
      // A begin may come before the end of the piece before it; an end before its own begin is no time.
      if (stamp === 0n || (i % 2 === 1 && stamp < stamps[i - 1]!)) {
        fail("DIT7030", "the timestamps of this adapter are no times: they are zero, or go backwards", {
          help: "--clock host times each dispatch from outside",
        });
      }
      this.#tick = divisor(this.#tick, stamp < start ? start - stamp : stamp - start);
    }
    const ms = (stamp: bigint) => Number(stamp - start) / 1e6;
    return Array.from({ length: count }, (_, i) => ({ begin: ms(stamps[2 * i]!), end: ms(stamps[2 * i + 1]!) }));
  }

  async #read(count: number): Promise<BigUint64Array> {
    const encoder = this.#device.createCommandEncoder({ label: "timestamps" });
    encoder.resolveQuerySet(this.#queries, 0, count, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#staging, 0, 8 * count);
    this.#device.queue.submit([encoder.finish()]);
    await this.#staging.mapAsync(MAP_READ, 0, 8 * count);
    const stamps = new BigUint64Array(this.#staging.getMappedRange(0, 8 * count).slice(0));
    this.#staging.unmap();
    return stamps;
  }

  dispose(): void {
    this.#queries.destroy();
    this.#resolved.destroy();
    this.#staging.destroy();
  }
}

/** The greatest common one. */
function divisor(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}

class HostClock implements Clock {
  readonly kind = "host";
  readonly tickNs = undefined;

  async time(count: number, submit: Submit): Promise<Span[]> {
    const spans: Span[] = [];
    const start = performance.now();
    for (let i = 0; i < count; i++) {
      const begin = performance.now() - start;
      await submit(i, i + 1);
      spans.push({ begin, end: performance.now() - start });
    }
    return spans;
  }

  dispose(): void {}
}
