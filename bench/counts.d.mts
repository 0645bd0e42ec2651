import type { compile } from "../src/compile/compile.js";

export interface Count {
  readonly what: string;
  readonly found: number;
  /** At most. */
  readonly limit: number;
  /** Names of what was counted. */
  readonly detail?: readonly string[];
}

export function counts(compiler: typeof compile): Promise<readonly Count[]>;
