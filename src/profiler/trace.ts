/**
 * A profile in Chrome's trace format, which Perfetto (ui.perfetto.dev) and chrome://tracing open: one slice for each dispatch, in the run
 * whose sum is the median, above it one for the source line where it and its neighbours come from. Times are in microseconds.
 */
import type { Profile } from "./profile.js";
import { bytesOf } from "./work.js";

export interface TraceEvent {
  readonly name: string;
  /** X: a slice with a duration; M: the name of a process or thread. */
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly cat?: string;
  readonly ts?: number;
  readonly dur?: number;
  readonly args: Readonly<Record<string, unknown>>;
}

export interface Trace {
  readonly displayTimeUnit: "ms";
  readonly otherData: Readonly<Record<string, unknown>>;
  readonly traceEvents: readonly TraceEvent[];
}

const PID = 1;
const [LINES, DISPATCHES] = [1, 2];

/** Of a profile that was measured. */
export function traceOf({ program, model, entry, batch, dispatches, measured }: Profile, adapter: string): Trace {
  const { spans, clock } = measured!;
  const events: TraceEvent[] = [
    named("process_name", 0, `${model}, ${entry}, batch ${batch}`),
    named("thread_name", LINES, "source lines"),
    named("thread_name", DISPATCHES, "dispatches"),
  ];
  let line: { readonly name: string; readonly begin: number; end: number } | undefined;
  const close = () => {
    if (line) events.push(slice(line.name, "line", LINES, line.begin, line.end, {}));
  };
  dispatches.forEach((item, i) => {
    const { begin, end } = spans[i]!;
    const name = item.line ?? item.what;
    if (line?.name === name) line.end = end;
    else {
      close();
      line = { name, begin, end };
    }
    events.push(
      slice(item.what, "dispatch", DISPATCHES, begin, end, {
        dispatch: item.position,
        kernel: item.kernelName,
        variant: item.variant,
        source: item.label,
        repeat: item.repeat,
        flops: item.flops,
        bytes: bytesOf(item),
        medianMs: item.ms,
      }),
    );
  });
  close();
  return { displayTimeUnit: "ms", otherData: { program, adapter, clock }, traceEvents: events };
}

const named = (what: string, tid: number, name: string): TraceEvent => ({ name: what, ph: "M", pid: PID, tid, args: { name } });

const slice = (name: string, cat: string, tid: number, begin: number, end: number, args: TraceEvent["args"]): TraceEvent => {
  return { name, ph: "X", pid: PID, tid, cat, ts: microseconds(begin), dur: microseconds(end - begin), args };
};

/** Down to the nanosecond. */
const microseconds = (ms: number): number => Number((1e3 * ms).toFixed(3));
