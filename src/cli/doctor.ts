/** `dit-compile doctor`: what this machine has and lacks for running programs. */
import { type Command, Option } from "commander";
import { type Diagnostic, DitError } from "../diagnostics/diagnostic.js";
import type { DriverKind } from "../runtime/node/driver.js";
import { ExitError, type Io, printJson } from "./io.js";
import { jsonOption } from "./options.js";

interface Flags {
  readonly fetch?: boolean;
  readonly profile?: string;
  readonly json?: boolean;
  readonly driver?: DriverKind;
}

export const driverOption = (): Option =>
  new Option("--driver <kind>", "this kind of driver; default: the best").choices(["hardware", "lavapipe", "swiftshader"]);

export function register(program: Command, io: Io): void {
  program
    .command("doctor")
    .description("say what this machine has and lacks, and how to mend it")
    .option("--fetch", "download software drivers and Chromium where they are missing")
    .option("--profile <file>", "write the adapter's limits to a file for --target")
    .addOption(jsonOption())
    .addOption(driverOption())
    .action((flags: Flags) => doctorCommand(flags, io));
}

/** Ends with 0 when a program can run on some adapter of this machine. With `--json` an error takes the findings' place. */
async function doctorCommand(flags: Flags, io: Io): Promise<void> {
  const [{ describe, examine, limitsProfile }, { chooseDriver }, { fetches }, { writeFileAtomic }] = await Promise.all([
    import("../runtime/node/doctor.js"),
    import("../runtime/node/driver.js"),
    import("../runtime/node/fetch.js"),
    import("../formats/files.js"),
  ]);
  const failures: Diagnostic[] = [];
  for (const { fetch } of flags.fetch ? Object.values(fetches) : []) {
    try {
      fetch((line) => io.err(`${line}\n`));
    } catch (error) {
      // One that fails does not keep the others from being fetched.
      if (!(error instanceof DitError)) throw error;
      failures.push(...error.diagnostics);
    }
  }
  const findings = examine();
  if (!flags.json) io.out(`${describe(findings)}\n`);
  if (failures.length > 0) throw new DitError(failures);
  if (flags.profile !== undefined) {
    const { adapter, why } = chooseDriver(flags.driver);
    await writeFileAtomic(flags.profile, `${JSON.stringify(limitsProfile(adapter), null, 2)}\n`);
    io.err(`wrote ${flags.profile}: ${why}\n`);
  }
  if (flags.json) printJson(io, findings);
  if (findings.drivers.length === 0) throw new ExitError(1);
}
