/** `dit-compile run BUNDLE`: one entry, from files to a file. */
import type { Command } from "commander";
import type { DriverKind } from "../runtime/node/driver.js";
import { checkRun } from "./check-run.js";
import { driverOption } from "./doctor.js";
import { type Io, printJson } from "./io.js";
import { checkOption, jsonOption, memoryOption, REFUSES, wholeNumber } from "./options.js";

interface Flags {
  readonly entry: string;
  readonly weights?: string;
  readonly inputs?: string;
  readonly output: string;
  readonly batch?: number;
  readonly driver?: DriverKind;
  readonly memory?: number;
  readonly check?: "sampled";
  readonly verbose?: boolean;
  readonly json?: boolean;
}

export function register(program: Command, io: Io): void {
  program
    .command("run")
    .description("run one entry of a bundle on named tensors in safetensors files")
    .argument("<bundle>", "folder that `dit-compile MODEL -o DIR` wrote")
    .requiredOption("-e, --entry <name>", "the entry to run")
    .option("-w, --weights <file>", "weights by their state-dict keys")
    .option("-i, --inputs <file>", "inputs by the entry's own names; state may be among them (p.*, m.*, v.*, ema.*, step)")
    .requiredOption("-o, --output <file>", "where the outputs go")
    .option("-b, --batch <n>", "default: what the inputs' shapes say", wholeNumber("--batch"))
    .addOption(driverOption())
    .addOption(memoryOption(REFUSES))
    .addOption(checkOption(""))
    .option("-v, --verbose", "say which kernels run and how much memory they take")
    .addOption(jsonOption())
    .action(async (bundle: string, flags: Flags) => {
      const { ensureDriver } = await import("../runtime/node/driver.js");
      await ensureDriver(flags.driver);
      await runCommand(bundle, flags, io);
    });
}

/** Without the search for a driver. */
export async function runCommand(dir: string, flags: Flags, io: Io): Promise<void> {
  const [{ readBundle, runEntry }, { readFileBytes, writeFileAtomic }, { parseSafetensors, writeSafetensors }] =
    await Promise.all([import("../node/index.js"), import("../formats/files.js"), import("../formats/safetensors.js")]);
  const started = performance.now();
  const bundle = await readBundle(dir);
  const inputs = flags.inputs === undefined ? undefined : parseSafetensors(await readFileBytes(flags.inputs), flags.inputs);
  const checking = flags.check ? await checkRun(bundle, io) : undefined;
  const outputs = await runEntry(bundle, {
    through: checking?.through,
    entry: flags.entry,
    inputs: inputs?.tensors ?? new Map(),
    weights: flags.weights,
    batch: flags.batch,
    driver: flags.driver,
    memoryLimit: flags.memory,
    log: flags.verbose ? (line) => io.err(`${line}\n`) : undefined,
  });
  await writeFileAtomic(flags.output, writeSafetensors(outputs, { program: bundle.program.hash, entry: flags.entry }));
  if (flags.json) {
    const seconds = (performance.now() - started) / 1000;
    const shapes = Object.fromEntries([...outputs].map(([name, { dtype, shape }]) => [name, { dtype, shape }]));
    const check = checking ? { check: checking.checked() } : {};
    printJson(io, { output: flags.output, program: bundle.program.hash, entry: flags.entry, outputs: shapes, seconds, ...check });
  }
  const [first, ...others] = [...outputs].map(([name, { shape }]) => `${name} [${shape.join(", ")}]`);
  const more =
    others.length > 3 ? `, ${others.slice(0, 2).join(", ")} and ${others.length - 2} more` : ["", ...others].join(", ");
  io.err(`wrote ${flags.output}: ${first ?? "nothing"}${more}\n`);
  checking?.end();
}
