/** `dit-compile MODEL`: compiles a model file, prints what came of it, and writes a bundle where one is asked for. */
import { existsSync } from "node:fs";
import { type Command, Option } from "commander";
import { fail } from "../diagnostics/diagnostic.js";
import type { Module } from "../ir/graph.js";
import { type Io, printJson } from "./io.js";
import { collect, commaList, dtypeOption, FITS, jsonOption, memoryOption, pairs, wholeNumber } from "./options.js";

interface Flags {
  readonly preset?: string;
  readonly set: readonly string[];
  readonly batch?: number;
  readonly steps?: number;
  readonly entry?: readonly string[];
  readonly output?: string;
  readonly emit?: "ir" | "wgsl" | "plan" | "report";
  readonly printAfter?: string;
  readonly target: string;
  readonly memory?: number;
  readonly dtype?: "f32" | "f16" | "f16-weights";
  readonly safe?: boolean;
  readonly choose: readonly string[];
  readonly tuning?: string;
  readonly tuningFor?: string;
  readonly variants?: number;
  readonly json?: boolean;
}

export function register(program: Command, io: Io): void {
  program
    .command("compile", { isDefault: true })
    .description("compile a model file; `dit-compile MODEL` is the same (a model file is code: it is run)")
    .argument("<model>", "TypeScript file whose default export is a model")
    .option("-p, --preset <name>", "one of the model's presets; default: its own choice")
    .option("-s, --set <key=value>", "a setting of the model or of its training; repeatable", collect, [])
    .option(
      "-b, --batch <n>",
      "batch that choices and report are for; the program runs at any; default: 1",
      wholeNumber("--batch"),
    )
    .option(
      "--steps <n>",
      "report what a training run of so many steps computes; its batch is --batch × accumulate",
      wholeNumber("--steps"),
    )
    .option("-e, --entry <name>", "compile this entry alone; repeatable; default: all", commaList)
    .option("-o, --output <dir>", "write the bundle to this folder; without it nothing is written")
    .addOption(new Option("--emit <what>", "print this").choices(["ir", "wgsl", "plan", "report"]))
    .option("--print-after <pass>", "print the IR after this pass, or after all")
    .option("-t, --target <target>", "web, minimum, or a limits profile (see doctor --profile)", "web")
    .addOption(memoryOption(FITS))
    .addOption(dtypeOption(true))
    .option("--safe", "naive kernels alone, to tell a driver's bug from ours")
    .option(
      "--choose <family=choice>",
      "take this way of a kernel family wherever it applies, like matmul=workgroup-64x64 or attention=unfused; repeatable; an unknown one lists all",
      collect,
      [],
    )
    .option("--tuning <file>", "take the choices that `dit-compile tune` found on an adapter")
    .option("--tuning-for <words>", "which adapter of the tuning file: words of its name; default: its only one")
    .option(
      "--variants <k>",
      "with -o: up to k other ways of each heavy kernel, 1 to 8, in a file that a page may choose from (docs/tuning.md)",
      wholeNumber("--variants"),
    )
    .addOption(jsonOption())
    .action((model: string, flags: Flags) =>
      compileCommand(
        model,
        flags,
        io,
        program.commands.map((command) => command.name()),
      ),
    );
}

async function compileCommand(model: string, flags: Flags, io: Io, commands: readonly string[]): Promise<void> {
  // Loaded late: no other command should wait for TypeScript, nor for the compiler.
  const { prepareToCompile } = await import("../compile/ahead.js");
  prepareToCompile();
  const [{ compile }, { readTarget }, { passes }, { printModule }, { suggestion }] = await Promise.all([
    import("../compile/compile.js"),
    import("../compile/profile.js"),
    import("../passes/index.js"),
    import("../ir/print.js"),
    import("../runtime/errors.js"),
  ]);
  if (/^[a-z-]+$/.test(model) && !existsSync(model)) {
    // More likely a command than a file without a suffix.
    fail("DIT7001", `there is no command and no file "${model}"`, { help: suggestion(model, commands) });
  }
  const { printAfter } = flags;
  if (flags.json && (printAfter !== undefined || (flags.emit ?? "report") !== "report")) {
    fail(
      "DIT7001",
      `--json prints the report alone: ${printAfter === undefined ? `--emit ${flags.emit}` : "--print-after"} is text`,
      {
        help: "leave one of the two out",
      },
    );
  }
  const names = ["trace", ...passes.map(({ name }) => name)];
  if (printAfter !== undefined && ![...names, "all"].includes(printAfter)) {
    fail("DIT7001", `--print-after ${printAfter}: there is no such pass`, { help: suggestion(printAfter, [...names, "all"]) });
  }
  if (flags.tuningFor !== undefined && flags.tuning === undefined) {
    fail("DIT7001", "--tuning-for is about a tuning file", { help: "name it with --tuning" });
  }
  if (flags.steps !== undefined && flags.batch === undefined) {
    fail("DIT7001", "--steps is about a training run, whose work depends on the batch", {
      help: "give --batch, like --batch 16 with --set accumulate=16",
    });
  }
  if (flags.variants !== undefined && flags.output === undefined) {
    fail("DIT7001", "--variants is about the files of a bundle", { help: "name its folder with -o" });
  }
  const after = (pass: string, module: Module): void => {
    if (printAfter === pass || printAfter === "all") io.out(`// after ${pass}\n${printModule(module)}\n`);
  };
  const tuning = flags.tuning === undefined ? undefined : await tuned(flags.tuning, flags.tuningFor);
  const compiled = await compile(model, {
    set: flags.set,
    target: await readTarget(flags.target),
    safe: flags.safe ?? false,
    choices: pairs("--choose", flags.choose, "family=choice"),
    ...(flags.preset === undefined ? {} : { preset: flags.preset }),
    ...(flags.batch === undefined ? {} : { batch: flags.batch }),
    ...(flags.memory === undefined ? {} : { memory: { bytes: flags.memory } }),
    ...(flags.dtype === undefined ? {} : { dtype: flags.dtype }),
    ...(flags.entry === undefined ? {} : { entries: flags.entry }),
    ...(tuning ? { tuning: tuning.choices } : {}),
    ...(flags.variants === undefined ? {} : { variants: flags.variants }),
    ...(printAfter === undefined ? {} : { after }),
  });
  const { bundle, report, kernels } = compiled;
  if (tuning) {
    const { coverage } = await import("../tuner/tuning-file.js");
    const { known, all } = coverage(bundle.program, tuning);
    io.err(`tuning for ${tuning.adapter}: ${known} of ${all} kinds of work with a choice were measured there\n`);
  }

  if (flags.output !== undefined) {
    const { writeBundle } = await import("../compile/bundle.js");
    const files = await writeBundle(bundle, flags.output);
    io.err(`wrote ${flags.output}: ${files.length} files, program ${bundle.program.hash.slice(0, 12)}\n`);
  }
  const { emit } = flags;
  const { printReport, trainingCompute } = await import("./print-report.js");
  const training = flags.steps === undefined ? undefined : trainingCompute(report, bundle.program, flags.steps);
  if (flags.json) {
    const { hash, model: described, profile } = bundle.program;
    printJson(io, {
      ...{ model: described, program: hash, target: profile.name, output: flags.output ?? null, report },
      ...(training ? { training } : {}),
    });
  } else if (emit === "ir") io.out(printModule(kernels));
  else if (emit === "wgsl" || emit === "plan") {
    const { planText, wgslText } = await import("../compile/listing.js");
    io.out(emit === "wgsl" ? wgslText(bundle) : planText(bundle.program));
  } else if (emit === "report" || printAfter === undefined) {
    io.out(printReport(report, bundle.program, training));
  }
}

async function tuned(file: string, words: string | undefined) {
  const { choicesFor, readTuning } = await import("../tuner/tuning-file.js");
  return choicesFor(await readTuning(file), file, words);
}
