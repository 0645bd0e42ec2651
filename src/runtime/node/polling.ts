/**
 * While any GPU promise is pending, Dawn's Node binding puts itself back on the event loop with setImmediate, without a pause:
 * one core spins. A driver that computes on the CPU loses that core. The binding looks setImmediate up on globalThis, so we
 * hand it one that sleeps for a moment first. Every other user of setImmediate gets the original behaviour: the binding's
 * callback is the only native, nameless function that is scheduled without arguments.
 */

/** Long enough to free the core, short against a dispatch; a wait for an empty submit grows from 0.02 to 0.15 ms. */
const defaultPauseMs = 0.05;

let mended: typeof globalThis.setImmediate | undefined;

/** Whether a callback is the binding's own: native code without a name. Bound functions are native too, but have a name. */
export function isDawnCallback(callback: unknown, args: readonly unknown[]): boolean {
  if (typeof callback !== "function" || args.length > 0 || callback.name !== "") return false;
  return Function.prototype.toString.call(callback).includes("[native code]");
}

/** A setImmediate that pauses before the binding's callback and is otherwise `original`. */
export function pausing(original: typeof globalThis.setImmediate, pauseMs = defaultPauseMs): typeof globalThis.setImmediate {
  const never = new Int32Array(new SharedArrayBuffer(4));
  const wrapped = (callback: (...args: unknown[]) => void, ...args: unknown[]): NodeJS.Immediate => {
    if (!isDawnCallback(callback, args)) return original(callback, ...args);
    return original(() => {
      Atomics.wait(never, 0, 0, pauseMs);
      callback();
    });
  };
  // util.promisify(setImmediate) finds its answer in a property under a symbol.
  return Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(original)) as typeof globalThis.setImmediate;
}

/** Puts the pause in place, once; must happen before Dawn's instance is created. */
export function mendPolling(pauseMs = defaultPauseMs): void {
  if (globalThis.setImmediate === mended) return;
  mended = pausing(globalThis.setImmediate, pauseMs);
  globalThis.setImmediate = mended;
}
