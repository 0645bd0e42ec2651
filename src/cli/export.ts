/**
 * `dit-compile export RUN_OR_WEIGHTS -o FILE`: a model in the form that another program reads. One table of formats: each says what it
 * is, and writes it.
 */
import { type Command, Option } from "commander";
import { type Io, printJson } from "./io.js";
import { collect, jsonOption } from "./options.js";

export interface ExportFlags {
  readonly output: string;
  readonly format: string;
  readonly which: "ema" | "model";
  readonly preset?: string;
  readonly set: readonly string[];
  readonly json?: boolean;
}

/** What was written: a sentence for people, and facts for `--json`. */
export interface Exported {
  readonly said: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

interface Format {
  /** For --help. */
  readonly what: string;
  /** `from` is what was named: a folder that `train` wrote, or a file of weights. */
  write(from: string, flags: ExportFlags, io: Io): Promise<Exported>;
}

/** Loaded when they are asked for. */
const formats: Readonly<Record<string, Format>> = {};

export function register(program: Command, io: Io): void {
  const list = Object.entries(formats).map(([name, { what }]) => `${name}: ${what}`);
  program
    .command("export")
    .description("write a model in the form that another program reads")
    .argument("<from>", "a folder that `dit-compile train` wrote, or a file of weights")
    .requiredOption("-o, --output <file>", "where it goes")
    .addOption(
      new Option("-f, --format <name>", list.join("; ")).choices(Object.keys(formats)).default(Object.keys(formats)[0] ?? ""),
    )
    .addOption(
      new Option("--which <part>", "of a training checkpoint: the average, or the weights")
        .choices(["ema", "model"])
        .default("ema"),
    )
    .option("-p, --preset <name>", "what the file does not say of the model: one of the paper's presets")
    .option("-s, --set <key=value>", "what the file does not say of the model, like numHeads=6; repeatable", collect, [])
    .addOption(jsonOption())
    .action(async (from: string, flags: ExportFlags) => {
      const { said, facts } = await formats[flags.format]!.write(from, flags, io);
      if (flags.json) printJson(io, { output: flags.output, format: flags.format, ...facts });
      io.err(`wrote ${flags.output}: ${said}\n`);
    });
}
