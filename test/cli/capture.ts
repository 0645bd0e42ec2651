/** Runs a command line in this process and keeps what it says. */
import { fileURLToPath } from "node:url";
import { cli } from "../../src/cli/cli.js";

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function dit(...args: string[]): Promise<Said> {
  let [out, err] = ["", ""];
  const code = await cli(args, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { code, out, err };
}

/** A model file of the repository, as a relative path: what it is called then does not depend on where the repository is. */
export const model = (name: string): string => {
  process.chdir(fileURLToPath(new URL("../..", import.meta.url)));
  return `models/${name}.graph.ts`;
};
