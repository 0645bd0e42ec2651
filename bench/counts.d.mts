import type { compile } from "../src/compile/compile.js";
import type { selectVariant } from "../src/runtime/device.js";

export interface Count {
  readonly what: string;
  readonly found: number;
  /** At most. */
  readonly limit: number;
  /** Names of what was counted. */
  readonly detail?: readonly string[];
}

export function counts(compiler: typeof compile, chooser: typeof selectVariant): Promise<readonly Count[]>;
