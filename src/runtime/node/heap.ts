/**
 * Gives the memory of what is no longer used back at once. Large arrays come and go here, of weights and of numbers that are read back, and
 * V8 looks at its own heap rather than at them when it decides to collect: a process would hold hundreds of megabytes more than it needs.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let gc: (() => void) | undefined;
/** What there was after the last collection. */
let kept = 0;

export function collect(): void {
  if (!gc) {
    setFlagsFromString("--expose-gc");
    gc = runInNewContext("gc") as () => void;
  }
  gc();
  kept = held();
}

function held(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Collects when so many bytes have come since the last collection. */
export function collectAfter(bytes: number): void {
  if (held() - kept > bytes) collect();
}
