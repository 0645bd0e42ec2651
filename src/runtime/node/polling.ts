/**
 * While any GPU promise is pending, Dawn's Node binding puts itself back on the event loop with setImmediate, without a pause:
 * one core spins. A driver that computes on the CPU loses that core. The binding looks setImmediate up on globalThis, so we
 * hand it one that sleeps for a moment first. Every other user of setImmediate gets the original behaviour: the binding's
 * callback is the only native, nameless function that is scheduled without arguments.
 *
 * A moment is short, and looking 10000 times a second is still a seventh of a core. Where the driver computes on the CPU, a wait
 * that has taken long may take a little longer: the pause grows with it.
 */

/** Long enough to free the core, short against a dispatch; a wait for an empty submit grows from 0.02 to 0.15 ms. */
const defaultPauseMs = 0.05;
/** So much of what a wait has taken is the pause, up to so many milliseconds. */
const [share, longestMs] = [0.1, 1];

let longest = defaultPauseMs;
let mended: typeof globalThis.setImmediate | undefined;

/** Whether a callback is the binding's own: native code without a name. Bound functions are native too, but have a name. */
export function isDawnCallback(callback: unknown, args: readonly unknown[]): boolean {
  if (typeof callback !== "function" || args.length > 0 || callback.name !== "") return false;
  return Function.prototype.toString.call(callback).includes("[native code]");
}

/** A setImmediate that pauses before the binding's callback and is otherwise `original`; the longest pause may change. */
export function pausing(
  original: typeof globalThis.setImmediate,
  pauseMs = defaultPauseMs,
  longestPauseMs: () => number = () => pauseMs,
): typeof globalThis.setImmediate {
  const never = new Int32Array(new SharedArrayBuffer(4));
  let polling = false;
  let since = 0;
  const wrapped = (callback: (...args: unknown[]) => void, ...args: unknown[]): NodeJS.Immediate => {
    if (!isDawnCallback(callback, args)) return original(callback, ...args);
    // Asked for by itself, it goes on waiting; by others, they begin to wait.
    if (!polling) since = performance.now();
    return original(() => {
      Atomics.wait(never, 0, 0, Math.max(pauseMs, Math.min(longestPauseMs(), share * (performance.now() - since))));
      polling = true;
      try {
        callback();
      } finally {
        polling = false;
      }
    });
  };
  // util.promisify(setImmediate) finds its answer in a property under a symbol.
  return Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(original)) as typeof globalThis.setImmediate;
}

/** For a driver that computes on the CPU: from here on, pauses grow with the wait. */
export function leaveTheCores(): void {
  longest = longestMs;
}

/** Puts the pause in place, once; must happen before Dawn's instance is created. */
export function mendPolling(pauseMs = defaultPauseMs): void {
  if (globalThis.setImmediate === mended) return;
  mended = pausing(globalThis.setImmediate, pauseMs, () => longest);
  globalThis.setImmediate = mended;
}
