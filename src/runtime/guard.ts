/**
 * Watches a device: turns WebGPU's three ways of failing (an error scope, an uncaptured error, a lost device) into one typed error.
 * After an uncaptured error nobody knows what the session's memory holds, and after a loss there is none: every later call says so.
 */
import { DitRuntimeError, errorText } from "./errors.js";

export interface Guard {
  /** Throws what has gone wrong so far. */
  check(): void;
  /** Awaits; when it fails because the device is gone, says that instead of the symptom. */
  settle<T>(promise: Promise<T>): Promise<T>;
  /** Runs `make` inside error scopes; what they catch is thrown, with `what` named. */
  scoped<T>(what: string, make: () => T): Promise<T>;
  /** Stops listening. */
  release(): void;
}

const LOST_HELP = "create a device and a session again, and go on from the last snapshot";
/** How long a failed promise waits for the news that the device is lost. */
const NEWS_MS = 200;

export function guard(device: GPUDevice): Guard {
  let failure: DitRuntimeError | undefined;
  let lost: DitRuntimeError | undefined;
  let released = false;

  const gone = device.lost.then((info) => {
    const why = info.message ? `: ${info.message.split("\n")[0]}` : "";
    lost = new DitRuntimeError("DIT6006", `the device was lost (${info.reason ?? "unknown"})${why}`, LOST_HELP);
  });
  // The attribute, not addEventListener: Dawn's Node binding has the first alone. Whoever listened before still hears.
  const before = device.onuncapturederror;
  const listener = (event: GPUUncapturedErrorEvent) => {
    if (!released) failure ??= typed(event.error, undefined);
    before?.call(device, event);
  };
  device.onuncapturederror = listener;

  const check = () => {
    if (lost) throw lost;
    if (failure) throw failure;
  };
  const settle = async <T>(promise: Promise<T>): Promise<T> => {
    try {
      return await promise;
    } catch (error) {
      // A caller's own mistake (in a callback, say) is not the device's and stays what it is.
      if (error instanceof DitRuntimeError || !fromDevice(error)) throw error;
      if (!lost) await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, NEWS_MS))]);
      check();
      throw new DitRuntimeError("DIT6005", errorText(error), undefined, { cause: error });
    }
  };
  const scoped = async <T>(what: string, make: () => T): Promise<T> => {
    check();
    for (const filter of ["internal", "out-of-memory", "validation"] as const) device.pushErrorScope(filter);
    let made: T | undefined;
    let thrown: unknown;
    try {
      made = make();
    } catch (error) {
      thrown = error;
    }
    // All three are popped before the first await: the scopes of a device are one stack, shared with whoever else uses it.
    const caught = await settle(Promise.all([device.popErrorScope(), device.popErrorScope(), device.popErrorScope()]));
    check();
    const error = caught.find((entry) => entry !== null);
    if (error) throw typed(error, what);
    if (thrown !== undefined) throw typed(thrown, what);
    return made as T;
  };
  const release = () => {
    released = true;
    if (device.onuncapturederror === listener) device.onuncapturederror = before;
  };
  return { check, settle, scoped, release };
}

/** WebGPU's promises reject with DOMExceptions. */
const fromDevice = (error: unknown): boolean => {
  const kind = (error as Error | undefined)?.constructor?.name;
  return (
    kind === "DOMException" || /^(Operation|Abort|InvalidState|GPUPipeline)Error$/.test((error as Error | undefined)?.name ?? "")
  );
};

/** A GPUError (or what a binding throws) as one of ours. */
export function typed(error: unknown, what: string | undefined): DitRuntimeError {
  const text = errorText((error as { message?: unknown }).message ?? error);
  const message = what === undefined ? text : `${what}: ${text}`;
  const kind = (error as object).constructor?.name;
  if (kind === "GPUOutOfMemoryError") return new DitRuntimeError("DIT6007", message, "a smaller batch needs less memory");
  return new DitRuntimeError("DIT6005", message);
}
