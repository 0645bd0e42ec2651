/** All commands; `cli` runs one of them to its exit code. Commands are files of this folder that register themselves. */
import { Command } from "commander";
import { register as compile } from "./compile.js";
import { register as doctor } from "./doctor.js";
import { register as exporting } from "./export.js";
import { register as importing } from "./import.js";
import { register as inspect } from "./inspect.js";
import { exitCode, type Io, terminal } from "./io.js";
import { packageVersion } from "./options.js";
import { register as profile } from "./profile.js";
import { register as run } from "./run.js";
import { register as sample } from "./sample.js";
import { register as train } from "./train.js";
import { register as tune } from "./tune.js";

export async function cli(args: readonly string[], io: Io = terminal): Promise<number> {
  const json = wantsJson(args);
  return exitCode(io, () => commands(io, json).parseAsync(args, { from: "user" }), json);
}

/** Known before anything is parsed, so that a mistake in the arguments is JSON, too. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).includes("--json");
}

function commands(io: Io, json: boolean): Command {
  const program = new Command("dit-compile")
    .description("Compiles a Diffusion Transformer written as one typed TypeScript file to WGSL kernels that train and sample.")
    .version(packageVersion())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => (json ? undefined : io.err(text)),
      outputError: (text, write) => write(text.replace(/^error: /, "error DIT7001: ")),
    })
    .showSuggestionAfterError()
    .showHelpAfterError("  help: dit-compile --help lists the commands, dit-compile COMMAND --help their options");
  // Help lists them in this order.
  for (const register of [compile, train, sample, run, importing, exporting, inspect, profile, tune, doctor])
    register(program, io);
  return program;
}
