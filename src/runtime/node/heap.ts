/**
 * Gives the memory of what is no longer used back at once. Large arrays come and go here, of weights and of numbers that are read back, and
 * V8 looks at its own heap rather than at them when it decides to collect: a process would hold hundreds of megabytes more than it needs.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let gc: (() => void) | undefined;

export function collect(): void {
  if (!gc) {
    setFlagsFromString("--expose-gc");
    gc = runInNewContext("gc") as () => void;
  }
  gc();
}

/** Collects when arrays hold more than this. */
export function collectAbove(bytes: number): void {
  if (process.memoryUsage().arrayBuffers > bytes) collect();
}
