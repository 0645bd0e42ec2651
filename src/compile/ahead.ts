/**
 * For a process that compiles and ends, before it loads the compiler itself. TypeScript, which takes longest to load, begins in its thread.
 * And V8 is told to optimise a function only when it has run for long: by itself it spends more processor time on that than the whole
 * compiler and the check of the types need, on the same cores, and little of it pays before the process ends (docs/performance.md).
 * This file loads nothing else.
 */
import { setFlagsFromString } from "node:v8";
import { built, wake } from "../frontend/thread.js";

/** The flag by V8's major version; 11 is Node 20's, 12 and 13 are those of Node 22 and 24. A V8 that is not known is left alone. */
const LATE: Readonly<Record<string, string>> = {
  11: "--interrupt-budget=500000",
  12: "--invocation-count-for-turbofan=20000",
  13: "--invocation-count-for-turbofan=20000",
};

export function prepareToCompile(): void {
  const late = LATE[process.versions.v8.split(".")[0]!];
  if (built && late !== undefined) setFlagsFromString(late);
  wake();
}
