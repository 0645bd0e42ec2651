/** `dit-compile tune BUNDLE`: measures which way of each kernel is the fastest on this adapter, and writes it to a tuning file. */
import type { Command } from "commander";
import { table } from "../compile/text.js";
import { fail } from "../diagnostics/diagnostic.js";
import type { DriverKind } from "../runtime/node/driver.js";
import type { Tuned } from "../tuner/tune.js";
import { driverOption } from "./doctor.js";
import { ExitError, type Io, printJson } from "./io.js";
import { jsonOption, memoryOption, positiveNumber, REFUSES, wholeNumber } from "./options.js";

interface Flags {
  readonly entry: string;
  readonly batch?: number;
  readonly output: string;
  readonly runs?: number;
  readonly time?: number;
  readonly driver?: DriverKind;
  readonly memory?: number;
  readonly json?: boolean;
}

export function register(program: Command, io: Io): void {
  program
    .command("tune")
    .description("measure which way of each kernel of an entry is the fastest on this adapter, for --tuning")
    .argument("<bundle>", "folder that `dit-compile MODEL -o DIR` wrote")
    .requiredOption("-e, --entry <name>", "the entry to tune; weights and inputs are made up")
    .option("-b, --batch <n>", "default: the batch that the bundle was compiled for", wholeNumber("--batch"))
    .option("-o, --output <file>", "the tuning file; one that is there is added to", "tuning.json")
    .option("--runs <n>", "rounds in which two ways take turns, after a warm-up (default: 7)", wholeNumber("--runs"))
    .option("--time <seconds>", "begin nothing new after so long, and write what was found", positiveNumber("--time"))
    .addOption(driverOption())
    .addOption(memoryOption(REFUSES))
    .addOption(jsonOption())
    .action(async (bundle: string, flags: Flags) => {
      await (await import("../runtime/node/driver.js")).ensureDriver(flags.driver);
      await tuneCommand(bundle, flags, io);
    });
}

/** Without the search for a driver. */
export async function tuneCommand(dir: string, flags: Flags, io: Io): Promise<void> {
  const [{ readBundle }, { tune }, { adapterName, mergeTuning, readTuning }, { statOf }, { requestDevice }, { deviceFacts }] =
    await Promise.all([
      import("../node/index.js"),
      import("../tuner/tune.js"),
      import("../tuner/tuning-file.js"),
      import("../formats/files.js"),
      import("../runtime/node/dawn.js"),
      import("../runtime/device.js"),
    ]);
  const bundle = await readBundle(dir);
  // What stands there is read now, because a file that cannot be added to should be known before minutes are spent.
  if (await statOf(flags.output)) await readTuning(flags.output);
  const { entry, batch = bundle.program.batch, runs, time, driver, memory } = flags;
  const stop = new AbortController();
  const onSignal = (): void => {
    io.err("ending after this choice\n");
    stop.abort();
  };
  process.once("SIGINT", onSignal);
  const dawn = await requestDevice(driver ? { driver } : {});
  try {
    const { vendor, architecture, description } = dawn.info;
    const { subgroupSize, features } = deviceFacts(dawn.device);
    const facts = { vendor, architecture, description, ...(subgroupSize === undefined ? {} : { subgroupSize }) };
    const name = adapterName(facts);
    const tuned = await tune(bundle, dawn.device, {
      entry,
      batch,
      rounds: runs,
      seconds: time,
      memoryLimit: memory,
      signal: stop.signal,
      onChoice: (choice, kernels) => io.err(`${choice}: ${kernels} kernels\n`),
    });
    const kernels = Object.fromEntries(
      tuned.kernels.map(({ key, dispatches: _, label: __, ways: ___, ...measured }) => [key, measured]),
    );
    await mergeTuning(flags.output, name, { ...facts, features: [...features].sort(), kernels });
    reportTuned(tuned, name, flags, io);
  } finally {
    process.removeListener("SIGINT", onSignal);
    dawn.dispose();
  }
}

/** Says what was found, and fails where a way gave wrong numbers. */
export function reportTuned(tuned: Tuned, adapter: string, { output, json }: Pick<Flags, "output" | "json">, io: Io): void {
  if (json) printJson(io, { adapter, output, ...tuned });
  else io.out(printTuned(tuned, adapter));
  io.err(`wrote ${output}\n`);
  for (const text of tuned.wrong) io.err(`wrong numbers, left out: ${text}\n`);
  if (tuned.wrong.length === 0) return;
  // What was found is the one value on the output, and has them.
  if (json) throw new ExitError(1);
  fail("DIT7042", "some ways of the kernels gave wrong numbers on this adapter", {
    notes: tuned.wrong,
    help: "the tuning file does without them; please report this: it is a bug of the driver or of dit-compile",
  });
}

function printTuned({ kernels, chosenMs, passMs, clock, leftOut }: Tuned, adapter: string): string {
  const us = (x: number): string => x.toFixed(x < 100 ? 1 : 0);
  const rows = kernels.map(({ key, dispatches, choice, ownUs, us: best, tried, label }) => [
    key,
    String(dispatches),
    us(ownUs),
    choice ?? "as it is",
    us(best),
    (ownUs / best).toFixed(2),
    String(tried),
    label,
  ]);
  const pair = (what: string, { own, tuned }: Tuned["passMs"]): string[] => [
    what,
    `${own.toFixed(2)} ms, tuned ${tuned.toFixed(2)} ms: ${(own / tuned).toFixed(2)} times`,
  ];
  return [
    table([
      ["adapter", adapter],
      ["clock", clock === "gpu" ? "the GPU's timestamps" : "the host's, which counts the submit in"],
      pair("work with a choice", chosenMs),
      pair("one pass", passMs),
      ...leftOut.map((text) => ["left out", text]),
    ]),
    "",
    table([["work", "runs", "µs", "choice", "µs", "times", "tried", "first at"], ...rows], [1, 2, 4, 5, 6]),
    "",
  ].join("\n");
}
