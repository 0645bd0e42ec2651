/**
 * What the runtime says when it cannot go on. The runtime ships inside web bundles and imports nothing of the compiler, so it has an
 * error of its own; whoever prints errors for people finds the same parts in it: code, sentence, help.
 */
import { nearest } from "../program/nearest.js";

export const runtimeErrors = {
  /** The bundle is not a program that this runtime can run. */
  DIT6001: "bad program",
  /** The device lacks a feature or a limit. */
  DIT6002: "device too small",
  /** The memory plan does not fit; nothing was allocated. */
  DIT6003: "out of memory by plan",
  /** An input, a weight or a name from the caller is wrong. */
  DIT6004: "wrong input",
  /** The device refused a kernel, a buffer or a dispatch. */
  DIT6005: "validation",
  /** The device is gone; nothing on it can be saved. */
  DIT6006: "lost device",
  /** The driver had less memory than the plan needs. */
  DIT6007: "out of memory",
  /** The caller stopped the run, or the session is disposed. */
  DIT6008: "stopped",
  /** A file of the bundle could not be fetched or is damaged. */
  DIT6009: "bad file",
} as const;

export type RuntimeErrorCode = keyof typeof runtimeErrors;

export class DitRuntimeError extends Error {
  override readonly name = "DitRuntimeError";
  readonly code: RuntimeErrorCode;
  /** What to do about it. */
  readonly help: string | undefined;

  constructor(code: RuntimeErrorCode, message: string, help?: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.help = help;
  }

  get kind(): (typeof runtimeErrors)[RuntimeErrorCode] {
    return runtimeErrors[this.code];
  }
}

export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** `12.5 MiB`, for figures in sentences. */
export function binarySize(bytes: number): string {
  if (bytes < 1024 ** 2) return `${(bytes / 1024).toFixed(1)} KiB`;
  return bytes < 1024 ** 3 ? `${(bytes / 1024 ** 2).toFixed(1)} MiB` : `${(bytes / 1024 ** 3).toFixed(2)} GiB`;
}

/** `; did you mean "x"?` when a known name is near, else a list of what there is. */
export function suggestion(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  if (near) return `did you mean "${near}"?`;
  return known.length === 0 ? "there are none" : `there are: ${known.slice(0, 12).join(", ")}${known.length > 12 ? ", …" : ""}`;
}
