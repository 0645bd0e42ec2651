/**
 * `dit-compile train MODEL`: compiles a model, trains it on labelled images, and leaves a folder that `sample` takes and that
 * `train --resume` goes on with.
 */
import type { Command } from "commander";
import type { DriverKind } from "../runtime/node/driver.js";
import type { TrainFile } from "../trainer/train-config.js";
import { driverOption } from "./doctor.js";
import type { Io } from "./io.js";
import { checkOption, collect, dtypeOption, FITS, memoryOption, pairs, wholeNumber } from "./options.js";

/** What is given; all else comes from --config, the run's own train.json, or the defaults. */
export interface Flags {
  readonly output: string;
  readonly config?: string;
  readonly resume?: string | true;
  readonly allowChange?: boolean;
  readonly preset?: string;
  readonly set?: readonly string[];
  readonly lr?: string;
  readonly data?: string;
  readonly skipBroken?: boolean;
  readonly steps?: number;
  readonly batch?: number;
  readonly accumulate?: number;
  readonly memory?: number;
  readonly dtype?: "f32" | "f16";
  readonly seed?: number;
  readonly flip?: boolean;
  readonly weights?: string;
  readonly logEvery?: number;
  readonly checkpointEvery?: number;
  readonly keepLast?: number;
  readonly keepEvery?: number;
  readonly sampleEvery?: number;
  readonly sampleCount?: number;
  readonly maxBadSteps?: number;
  readonly driver?: DriverKind;
  readonly json?: boolean;
  readonly verbose?: boolean;
  readonly check?: "sampled";
}

export function register(program: Command, io: Io): void {
  program
    .command("train")
    .description("train a model on labelled images (a model file is code: it is run)")
    .argument("[model]", "TypeScript file whose default export is a model; with --resume or --config theirs is taken")
    .requiredOption(
      "-o, --output <dir>",
      "the run's folder: losses, curve, report.html, samples, checkpoints, weights and bundle",
    )
    .option(
      "-d, --data <set>",
      "fashion-mnist or emoji (fetched when not there), a folder of images, idx files or latents; see docs/data.md",
    )
    .option("-p, --preset <name>", "one of the model's presets; default: its own choice")
    .option("-s, --set <key=value>", "a setting of the model or of its training; repeatable", collect, [])
    .option("--lr <x>", "short for --set learningRate=x")
    .option("-n, --steps <n>", "updates of the weights", wholeNumber("--steps"))
    .option("-b, --batch <n>", "images that the device works on at a time; default: 64", wholeNumber("--batch"))
    .option("--accumulate <n>", "batches an update: 16 of 16 are a global batch of 256; default: 1", wholeNumber("--accumulate"))
    .addOption(memoryOption(FITS))
    .addOption(dtypeOption())
    .option("--seed <n>", "of weights, order and noise; default: 0", wholeNumber("--seed", 0))
    .option("-w, --weights <file>", "begin with these instead of fresh weights")
    .option("--no-flip", "do not mirror images at random")
    .option("--skip-broken", "leave out images that cannot be read, and count them")
    .option("-c, --config <file>", "JSON with the same keys (schemas/train.schema.json); flags override it")
    .option(
      "-r, --resume [which]",
      "go on with the run in --output: from its newest checkpoint, the newest whole one (last-good), or a file",
    )
    .option("--allow-change", "resume although settings, driver or kernels are others: the bits will differ")
    .option("--log-every <n>", "steps between two looks at the loss; default: 10", wholeNumber("--log-every"))
    .option(
      "--checkpoint-every <n>",
      "steps between checkpoints, 0: only at the end; default: 1000",
      wholeNumber("--checkpoint-every", 0),
    )
    .option("--keep-last <n>", "checkpoints to keep; default: 3", wholeNumber("--keep-last"))
    .option("--keep-every <n>", "beside them, those of every so many steps; default: none", wholeNumber("--keep-every", 0))
    .option("--sample-every <n>", "steps between grids of samples, 0: none; default: 1000", wholeNumber("--sample-every", 0))
    .option("--sample-count <n>", "images in a grid; default: 40", wholeNumber("--sample-count"))
    .option(
      "--max-bad-steps <n>",
      "steps in a row that are not finite, after which the run ends; default: 5",
      wholeNumber("--max-bad-steps"),
    )
    .addOption(driverOption())
    .addOption(checkOption(" of the first step"))
    .option("--json", "print one JSON value at the end")
    .option("-v, --verbose", "say which kernels run and how much memory they take")
    .action(async (model: string | undefined, flags: Flags) => {
      const { ensureDriver } = await import("../runtime/node/driver.js");
      await ensureDriver(flags.driver);
      await trainCommand(model, flags, io);
    });
}

/** Without the search for a driver. */
export async function trainCommand(model: string | undefined, flags: Flags, io: Io): Promise<void> {
  const { run } = await import("./train-run.js");
  await run(flags, { ...(model === undefined ? {} : { model }), ...configOf(flags) }, io);
}

/** The flags that are keys of the configuration. */
function configOf(flags: Flags): TrainFile {
  const set: TrainFile["set"] = {
    ...pairs("--set", flags.set ?? []),
    ...(flags.lr === undefined ? {} : { learningRate: flags.lr }),
  };
  return {
    set,
    ...(flags.flip === false ? { flip: false } : {}),
    ...Object.fromEntries(
      (
        [
          "preset",
          "data",
          "skipBroken",
          "steps",
          "batch",
          "accumulate",
          "memory",
          "dtype",
          "seed",
          "weights",
          "logEvery",
          "checkpointEvery",
        ] as const
      ).map((key) => [key, flags[key]]),
    ),
    ...Object.fromEntries(
      (["keepLast", "keepEvery", "sampleEvery", "sampleCount", "maxBadSteps"] as const).map((key) => [key, flags[key]]),
    ),
  };
}
