/** `dit-compile doctor`: what this machine has and lacks for running programs. */
import { type Command, Option } from "commander";
import { ExitError, type Io } from "./io.js";

interface Flags {
  readonly fetch?: boolean;
  readonly profile?: string;
  readonly json?: boolean;
  readonly driver?: "hardware" | "lavapipe" | "swiftshader";
}

export const driverOption = (): Option =>
  new Option("--driver <kind>", "this kind of driver; default: the best").choices(["hardware", "lavapipe", "swiftshader"]);

export function register(program: Command, io: Io): void {
  program
    .command("doctor")
    .description("say what this machine has and lacks, and how to mend it")
    .option("--fetch", "download software drivers and Chromium where they are missing")
    .option("--profile <file>", "write the adapter's limits to a file for --target")
    .option("--json", "print one JSON value")
    .addOption(driverOption())
    .action(async (flags: Flags) => {
      const { doctor } = await import("../runtime/node/doctor.js");
      const code = doctor({ ...flags, print: (text) => io.out(`${text}\n`) });
      if (code !== 0) throw new ExitError(code);
    });
}
