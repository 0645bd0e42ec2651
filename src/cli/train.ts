/** `dit-compile train MODEL`: compiles a model, trains it on a set of labelled images, and leaves a folder that `sample` takes. */
import type { Command } from "commander";
import { fail } from "../diagnostics/diagnostic.js";
import type { DriverKind } from "../runtime/node/driver.js";
import { driverOption } from "./doctor.js";
import type { Io } from "./io.js";
import { collect, wholeNumber } from "./options.js";
import { progress } from "./progress.js";

interface Flags {
  readonly data: string;
  readonly preset?: string;
  readonly set: readonly string[];
  readonly lr?: string;
  readonly steps: number;
  readonly batch: number;
  readonly seed: number;
  readonly output: string;
  readonly weights?: string;
  readonly flip: boolean;
  readonly driver?: DriverKind;
  readonly verbose?: boolean;
}

export function register(program: Command, io: Io): void {
  program
    .command("train")
    .description("train a model on labelled images (a model file is code: it is run)")
    .argument("<model>", "TypeScript file whose default export is a model")
    .requiredOption(
      "-d, --data <set>",
      "fashion-mnist (fetched when it is not there: 31 MB), or a folder with idx files as MNIST's",
    )
    .option("-p, --preset <name>", "one of the model's presets; default: its own choice")
    .option("-s, --set <key=value>", "a setting of the model or of its training; repeatable", collect, [])
    .option("--lr <x>", "short for --set learningRate=x")
    .requiredOption("-n, --steps <n>", "updates of the weights", wholeNumber("--steps"))
    .option("-b, --batch <n>", "images a step", wholeNumber("--batch"), 64)
    .option("--seed <n>", "of weights, order and noise", wholeNumber("--seed", 0), 0)
    .option("-w, --weights <file>", "begin with these instead of fresh weights")
    .option("--no-flip", "do not mirror images at random")
    .requiredOption(
      "-o, --output <dir>",
      "gets loss.jsonl, weights.safetensors (the average), weights-raw.safetensors and the bundle",
    )
    .addOption(driverOption())
    .option("-v, --verbose", "say which kernels run and how much memory they take")
    .action(async (model: string, flags: Flags) => {
      const { ensureDriver } = await import("../runtime/node/driver.js");
      await ensureDriver(flags.driver);
      await trainCommand(model, flags, io);
    });
}

/** Without the search for a driver. */
export async function trainCommand(model: string, flags: Flags, io: Io): Promise<void> {
  const [{ compile }, { writeBundle }, { fetchFashionMnist }, { requestDevice }, { train }, { readWeights }, { join }] =
    await Promise.all([
      import("../compile/compile.js"),
      import("../compile/bundle.js"),
      import("../data/fashion-mnist.js"),
      import("../runtime/node/dawn.js"),
      import("../trainer/loop.js"),
      import("../trainer/weights.js"),
      import("node:path"),
    ]);
  const data = await fetchFashionMnist(flags.data === "fashion-mnist" ? { download: true } : { folder: flags.data });
  const set = [...flags.set, ...(flags.lr === undefined ? [] : [`learningRate=${flags.lr}`])];
  // All entries: the folder is to be sampled from, too.
  const { bundle } = await compile(model, {
    set,
    batch: flags.batch,
    ...(flags.preset === undefined ? {} : { preset: flags.preset }),
  });
  const weights = flags.weights === undefined ? undefined : await readWeights(flags.weights, bundle.program);
  await writeBundle(bundle, join(flags.output, "bundle"));
  const dawn = await requestDevice();
  const { name, preset } = bundle.program.model;
  io.err(`training ${name}${preset ? `, preset ${preset}` : ""}, on ${dawn.info.description}\n`);
  const meter = progress("training", { print: (line) => io.err(`${line}\n`) });
  let note = "";
  try {
    const result = await train({
      bundle,
      device: dawn.device,
      images: data.train,
      steps: flags.steps,
      batch: flags.batch,
      seed: flags.seed,
      flip: flags.flip,
      weights,
      outFolder: flags.output,
      onLoss: ({ loss, imagesPerSecond }) => {
        note = `loss ${loss === null ? "not finite" : loss.toFixed(4)}, ${imagesPerSecond.toPrecision(3)} images/s`;
      },
      onStep: (done, total) => meter.update(done, total, note),
      log: flags.verbose ? (line) => io.err(`${line}\n`) : undefined,
    });
    meter.end();
    const last = result.losses.at(-1)?.loss ?? fail("DIT4213", "the last loss is not finite");
    io.err(`${result.steps} steps in ${result.seconds.toFixed(1)} s, last loss ${last.toFixed(4)}; wrote ${flags.output}\n`);
  } finally {
    meter.end();
    dawn.dispose();
  }
}
