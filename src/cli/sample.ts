/**
 * `dit-compile sample [WHAT]`: images from a bundle, a folder that `train` wrote, or a model file, as one PNG grid; with nothing named,
 * from the small model that comes with this package.
 */
import { existsSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { fail } from "../diagnostics/diagnostic.js";
import type { Bundle } from "../program/program.js";
import type { DriverKind } from "../runtime/node/driver.js";
import { checkRun } from "./check-run.js";
import { driverOption } from "./doctor.js";
import { type Io, printJson } from "./io.js";
import { checkOption, collect, jsonOption, memoryOption, REFUSES, wholeNumber } from "./options.js";
import { progress } from "./progress.js";

interface Flags {
  readonly preset?: string;
  readonly set: readonly string[];
  readonly guidance?: string;
  readonly sampler?: string;
  readonly steps?: number;
  readonly weights?: string;
  readonly class?: readonly number[];
  readonly count?: number;
  readonly seed: number;
  readonly batch?: number;
  readonly columns?: number;
  readonly scale: number;
  readonly preview?: number;
  readonly output: string;
  readonly driver?: DriverKind;
  readonly memory?: number;
  readonly check?: "sampled";
  readonly json?: boolean;
}

export function register(program: Command, io: Io): void {
  program
    .command("sample")
    .description("draw images with a trained model")
    .argument(
      "[what]",
      "a bundle, a folder that `dit-compile train` wrote, or a model file; default: clothes, a model that comes along",
    )
    .option("-w, --weights <file>", "safetensors; default: weights.safetensors of the folder")
    .option("-p, --preset <name>", "of a model file")
    .option(
      "-s, --set <key=value>",
      "compile with another setting: eta=0.5, guidedChannels=4 …; repeatable; not for a bundle",
      collect,
      [],
    )
    .option("-g, --guidance <x>", "short for --set guidance=x")
    .option("--sampler <name>", "ddpm, ddim or dpm_solver++; short for --set sampler=name")
    .option("--steps <n>", "of the sampler; short for --set respacing=n", wholeNumber("--steps"))
    .option("-c, --class <list>", "classes to draw, in turn, like 3 or 0,1,2; default: all (at most 10)", classList)
    .option("-n, --count <n>", "number of images; default: one of each class", wholeNumber("--count"))
    .option("--seed <n>", "of the noise", wholeNumber("--seed", 0), 0)
    .option(
      "-b, --batch <n>",
      "images at a time; the images do not depend on it; default: all, at most 64",
      wholeNumber("--batch"),
    )
    .option("--columns <n>", "images in a row; default: the number of classes", wholeNumber("--columns"))
    .option("--scale <n>", "enlarge by this whole factor", wholeNumber("--scale"), 1)
    .option("--preview <n>", "write every n steps the picture that they are heading for", wholeNumber("--preview"))
    .option("-o, --output <file>", ".png for a grid, .safetensors for the numbers", "samples.png")
    .addOption(driverOption())
    .addOption(memoryOption(REFUSES))
    .addOption(checkOption(" of each step"))
    .addOption(jsonOption())
    .action(async (what: string | undefined, flags: Flags) => {
      const { ensureDriver } = await import("../runtime/node/driver.js");
      await ensureDriver(flags.driver);
      await sampleCommand(what ?? shipped, flags, io);
    });
}

const classList = (text: string): number[] =>
  text
    .split(",")
    .map((part) =>
      /^\d+$/.test(part.trim())
        ? Number(part)
        : fail("DIT7001", `--class ${text}: "${part}" is no class number`, { help: "like --class 3 or --class 0,1,2" }),
    );

/** Without the search for a driver. */
export async function sampleCommand(what: string, flags: Flags, io: Io): Promise<void> {
  const kind = extname(flags.output);
  if (kind !== ".png" && kind !== ".safetensors") {
    fail("DIT7001", `--output ${flags.output}: expected a name that ends in .png or .safetensors`);
  }
  const [{ writeFileAtomic }, { writeSafetensors }, { gridPng }, { requestDevice }, { sample }, { openWeights }] =
    await Promise.all([
      import("../formats/files.js"),
      import("../formats/safetensors.js"),
      import("../data/grid.js"),
      import("../runtime/node/dawn.js"),
      import("../trainer/sampler.js"),
      import("../node/weights.js"),
    ]);
  const started = performance.now();
  const { bundle, folder } = await open(what, flags);
  const file = flags.weights ?? weightsBeside(what, folder);
  const weights = await openWeights(file, bundle.program);
  const unconditional = bundle.program.model.config.numClasses === 0;
  if (unconditional && flags.class) {
    fail("DIT7001", "--class: this model has no classes (numClasses=0)", {
      help: "leave --class out; --count says how many images",
    });
  }
  const classes = flags.class ?? allClasses(bundle);
  const labels = Array.from({ length: flags.count ?? classes.length }, (_, i) => classes[i % classes.length]!);
  const checking = flags.check ? await checkRun(bundle, io) : undefined;
  const dawn = await requestDevice();
  const meter = progress("drawing", { print: (line) => io.err(`${line}\n`) });
  const columns = flags.columns ?? Math.min(labels.length, unconditional ? 10 : classes.length);
  const picture = (images: Float32Array, shape: readonly number[]) => gridPng(images, shape, { columns, scale: flags.scale });
  try {
    const { images, shape } = await sample({
      bundle,
      device: dawn.device,
      weights,
      labels,
      seed: flags.seed,
      batch: flags.batch,
      memoryLimit: flags.memory,
      onStep: (done, total) => meter.update(done, total),
      through: checking?.through,
      preview:
        flags.preview === undefined || kind !== ".png"
          ? undefined
          : { every: flags.preview, show: ({ images, shape }) => writeFileAtomic(flags.output, picture(images, shape)) },
    });
    meter.end();
    const bytes =
      kind === ".png"
        ? picture(images, shape)
        : writeSafetensors(
            new Map([
              ["x", { dtype: "F32" as const, shape, data: images }],
              ["y", { dtype: "I32" as const, shape: [labels.length], data: Int32Array.from(labels) }],
            ]),
            { program: bundle.program.hash, seed: String(flags.seed) },
          );
    await writeFileAtomic(flags.output, bytes);
    if (flags.json) {
      const seconds = (performance.now() - started) / 1000;
      const { output, seed } = flags;
      const check = checking ? { check: checking.checked() } : {};
      printJson(io, { output, program: bundle.program.hash, shape, classes: labels, seed, seconds, ...check });
    }
    io.err(`wrote ${flags.output}: ${labels.length} images of ${shape.slice(1).join(" x ")}\n`);
    checking?.end();
  } finally {
    meter.end();
    dawn.dispose();
  }
}

/** The package's own folder, and in it the model that is drawn with when none is named. */
const root = fileURLToPath(new URL("../../", import.meta.url));
const shipped = join(root, "models", "clothes");

/** The program, and the folder that its weights may lie in. */
async function open(what: string, flags: Flags): Promise<{ readonly bundle: Bundle; readonly folder?: string }> {
  const set = [
    ...flags.set,
    ...(flags.guidance === undefined ? [] : [`guidance=${flags.guidance}`]),
    ...(flags.sampler === undefined ? [] : [`sampler=${flags.sampler}`]),
    ...(flags.steps === undefined ? [] : [`respacing=${flags.steps}`]),
  ];
  if (what.endsWith(".ts")) return { bundle: await compiled(what, flags.preset, set) };
  const asItIs = flags.preset === undefined && set.length === 0;
  const bundle = [join(what, "bundle"), what].find((folder) => existsSync(join(folder, "program.json")));
  if (existsSync(join(what, "train.json")) && !(asItIs && bundle !== undefined)) {
    const { readConfig, settingsOf } = await import("../trainer/train-config.js");
    const file = join(what, "train.json");
    const config = await readConfig(file);
    const named =
      config.model ?? fail("DIT4240", `${file} names no model file`, { help: "name the model file instead, with --weights" });
    const model = what === shipped ? join(root, named) : named;
    return { bundle: await compiled(model, flags.preset ?? config.preset, [...settingsOf(config), ...set]), folder: what };
  }
  if (!asItIs) {
    fail("DIT7001", `${what} is compiled already: --preset, --set, --guidance, --sampler and --steps would change nothing`, {
      help: "name the model file instead, with --weights",
    });
  }
  const { readBundle } = await import("../node/index.js");
  return { bundle: await readBundle(bundle ?? what), folder: what };
}

async function compiled(model: string, preset: string | undefined, set: readonly string[]): Promise<Bundle> {
  const { compile } = await import("../compile/compile.js");
  const { bundle } = await compile(model, { set, entries: ["sample"], ...(preset === undefined ? {} : { preset }) });
  const { collect } = await import("../runtime/node/heap.js");
  collect();
  return bundle;
}

function weightsBeside(what: string, folder: string | undefined): string {
  const file = folder === undefined ? undefined : join(folder, "weights.safetensors");
  if (file !== undefined && existsSync(file)) return file;
  return fail("DIT7001", `there are no weights to draw with${folder === undefined ? "" : ` in ${what}`}`, {
    help: "give --weights FILE, or a folder that dit-compile train wrote",
  });
}

function allClasses({ program }: Bundle): number[] {
  const { numClasses } = program.model.config;
  const count = typeof numClasses === "number" ? Math.max(1, Math.min(10, numClasses)) : 1;
  return Array.from({ length: count }, (_, i) => i);
}
