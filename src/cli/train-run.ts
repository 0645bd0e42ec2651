/**
 * What `dit-compile train` does, once its arguments are read: settle the configuration, compile, open data and device, train, and keep the
 * folder. What is wrong shows before anything is written.
 */
import { writeBundle } from "../compile/bundle.js";
import { type Compiled, type CompileOptions, compile } from "../compile/compile.js";
import { mirrors, openData } from "../data/open.js";
import { checkClasses, type DataSet } from "../data/source.js";
import { fail } from "../diagnostics/diagnostic.js";
import { openWeights } from "../node/weights.js";
import { requestDevice } from "../runtime/node/dawn.js";
import { collect } from "../runtime/node/heap.js";
import { findNonFinite, sentencesOf } from "../trainer/blame.js";
import { imageShape } from "../trainer/feeder.js";
import { Grids } from "../trainer/grids.js";
import { type TrainResult, train } from "../trainer/loop.js";
import type { LossRecord } from "../trainer/record.js";
import { resume } from "../trainer/resume.js";
import { RunFolder } from "../trainer/run-folder.js";
import { readConfig, resolveConfig, settingsOf, type TrainConfig, type TrainFile } from "../trainer/train-config.js";
import { trainEntries, trainEntry } from "../trainer/trainer.js";
import { checkRun } from "./check-run.js";
import { ExitError, type Io } from "./io.js";
import { progress } from "./progress.js";
import type { Flags } from "./train.js";

/** Exit code of a run that Ctrl-C ended: 128 + SIGINT's number, as shells have it. */
const INTERRUPTED = 130;

export async function run(flags: Flags, given: TrainFile, io: Io): Promise<void> {
  const folder = new RunFolder(flags.output);
  const config = await settle(flags, given, folder);
  const options: CompileOptions = {
    set: settingsOf(config),
    batch: config.batch,
    ...(config.preset === undefined ? {} : { preset: config.preset }),
    ...(config.dtype === undefined ? {} : { dtype: config.dtype }),
    ...(config.flip && mirrors(config.data) ? { defaults: { horizontalFlip: true } } : {}),
  };
  const { memory } = config;
  const compiled = await compile(config.model, {
    ...options,
    ...(memory === undefined ? {} : { memory: { bytes: memory, training: true } }),
  });
  // What the compiler leaves behind would stay beside the training.
  collect();
  const { program } = compiled.bundle;
  const data = await openFor(compiled, config, (line) => io.err(`${line}\n`));
  const weights = config.weights === undefined ? undefined : await openWeights(config.weights, program);
  const checking = flags.check ? await checkRun(compiled.bundle, io) : undefined;
  const dawn = await requestDevice();
  const { name, preset } = program.model;
  const title = `${name}${preset ? `, preset ${preset}` : ""}`;
  io.err(`training ${title}, on ${dawn.info.description}\n`);

  const meter = progress("training", { print: (line) => io.err(`${line}\n`) });
  const interrupt = onInterrupt(() => io.err("\nending after this step, with a checkpoint; once more ends at once\n"));
  const grids = new Grids(compiled.bundle, dawn.device, config);
  const page = (finished: boolean) => {
    const { report: compileReport } = compiled;
    return folder.page(config, { title, adapter: dawn.info.description, compileReport, attribution: data.attribution, finished });
  };
  let note = "";
  try {
    const result = await train({
      bundle: compiled.bundle,
      device: dawn.device,
      adapter: dawn.info.description,
      images: data.train,
      steps: config.steps,
      batch: config.batch,
      seed: config.seed,
      weights,
      resume:
        flags.resume === undefined
          ? undefined
          : (trainer, now) =>
              resume(
                {
                  folder: folder.checkpoints,
                  which: flags.resume === true ? "last" : flags.resume!,
                  allowChange: flags.allowChange ?? false,
                  steps: config.steps,
                  warn: (line) => io.err(`${line}\n`),
                },
                trainer,
                now,
              ),
      onBegin: async (done) => {
        await writeBundle(compiled.bundle, folder.bundle);
        return await folder.begin(config, data.attribution, done);
      },
      checkpoints: {
        folder: folder.checkpoints,
        every: config.checkpointEvery,
        keepLast: config.keepLast,
        keepEvery: config.keepEvery,
      },
      logEvery: config.logEvery,
      maxBadSteps: config.maxBadSteps,
      onLoss: (record) => {
        folder.record(record);
        note = noteOf(record);
      },
      onStep: (done, total) => meter.update(done, total, note),
      pause:
        config.sampleEvery === 0
          ? undefined
          : {
              every: config.sampleEvery,
              visit: async (done, trainer) => {
                await grids.draw(done, trainer, folder);
                await page(false);
              },
            },
      blame: async (trainer, inputs) => {
        const { bundle } = compiled;
        const unfused = async () =>
          (await compile(config.model, { ...options, fused: false, entries: trainEntries(bundle) })).bundle;
        const state = await trainer.snapshot();
        const { device } = dawn;
        return sentencesOf(await findNonFinite({ device, batch: config.batch, bundle, unfused, state, inputs }));
      },
      stop: () => interrupt.requested,
      first: checking?.through,
      onEnd: (trainer, steps) => folder.weights(trainer, config, steps),
      log: flags.verbose ? (line) => io.err(`${line}\n`) : undefined,
    });
    meter.end();
    await page(result.steps >= config.steps);
    say(io, flags, config, result, data.skipped.length, checking && { check: checking.checked() });
    checking?.end();
    if (interrupt.requested && result.steps < config.steps) throw new ExitError(INTERRUPTED);
  } finally {
    meter.end();
    interrupt.release();
    grids.dispose();
    dawn.dispose();
    await data.close();
  }
}

/** The data, made to fit the model. */
async function openFor({ bundle }: Compiled, config: TrainConfig, log: (line: string) => void): Promise<DataSet> {
  const { channels, width } = imageShape(trainEntry(bundle).inputs);
  const data = await openData(config.data, {
    side: width,
    channels: channels === 1 ? 1 : 3,
    skipBroken: config.skipBroken,
    download: true,
    log,
  });
  const { numClasses } = bundle.program.model.config;
  const note = typeof numClasses === "number" ? checkClasses(data, numClasses) : undefined;
  if (note) log(note);
  return data;
}

/** Flags over the file that --config names, over what the run that is resumed began with. */
async function settle(flags: Flags, given: TrainFile, folder: RunFolder): Promise<TrainConfig> {
  if (flags.resume === undefined && folder.exists) {
    fail("DIT4243", `there is a run in ${folder.path} already`, {
      help: "--resume goes on with it; for a new one name another --output, or remove the folder",
    });
  }
  const began = flags.resume === undefined ? {} : await folder.config();
  const file = flags.config === undefined ? {} : await readConfig(flags.config);
  return resolveConfig(began, file, given);
}

const noteOf = ({ loss, imagesPerSecond }: LossRecord): string =>
  `loss ${loss === null ? "not finite" : loss.toFixed(4)}, ${imagesPerSecond.toPrecision(3)} images/s`;

function say(io: Io, flags: Flags, config: TrainConfig, result: TrainResult, broken: number, more: object = {}): void {
  const { steps, seconds, losses, waited } = result;
  const last = losses.at(-1);
  const loss = last?.loss ?? fail("DIT4213", "the last loss is not finite");
  io.err(`${steps} steps in ${seconds.toFixed(1)} s, last loss ${loss.toFixed(4)}; wrote ${flags.output}\n`);
  io.err(
    `waited for images in ${(100 * waited).toFixed(1)} % of the time${broken > 0 ? `; left out ${broken} broken ones` : ""}\n`,
  );
  if (flags.json) {
    const images = steps * config.batch * config.accumulate;
    io.out(
      `${JSON.stringify({ output: flags.output, steps, images, seconds, loss, skipped: last!.skipped, waited, broken, ...more })}\n`,
    );
  }
}

/** Ctrl-C, and what a system sends to end a process: the first asks, the second ends. */
function onInterrupt(say: () => void) {
  const state = { requested: false, release: () => {} };
  const heard = () => {
    if (state.requested) process.exit(INTERRUPTED);
    state.requested = true;
    say();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, heard);
  state.release = () => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, heard);
  };
  return state;
}
