/** `dit-compile profile BUNDLE`: where the time of an entry goes, by kernel and by source line; without a device, what it has to do. */
import { type Command, Option } from "commander";
import { fail } from "../diagnostics/diagnostic.js";
import type { ClockKind } from "../profiler/clock.js";
import type { Profile } from "../profiler/profile.js";
import type { Roofline } from "../profiler/work.js";
import type { DriverKind } from "../runtime/node/driver.js";
import { driverOption } from "./doctor.js";
import { type Io, printJson } from "./io.js";
import { jsonOption, memoryOption, positiveNumber, REFUSES, wholeNumber } from "./options.js";
import { printProfile } from "./print-profile.js";

interface Flags {
  readonly entry: string;
  readonly batch?: number;
  readonly runs?: number;
  readonly clock?: ClockKind;
  readonly trace?: string;
  readonly roofline?: string;
  readonly static?: boolean;
  readonly peakTflops?: number;
  readonly peakBandwidth?: number;
  readonly driver?: DriverKind;
  readonly memory?: number;
  readonly json?: boolean;
}

export function register(program: Command, io: Io): void {
  program
    .command("profile")
    .description("time each kernel of an entry beside what it computes and moves, and what the adapter can do at most")
    .argument("<bundle>", "folder that `dit-compile MODEL -o DIR` wrote")
    .requiredOption("-e, --entry <name>", "the entry to profile; weights and inputs are made up")
    .option("-b, --batch <n>", "default: the batch that the bundle was compiled for", wholeNumber("--batch"))
    .option("--runs <n>", "time each dispatch so often, after a warm-up (default: 5)", wholeNumber("--runs"))
    .addOption(
      new Option(
        "--clock <kind>",
        "gpu: timestamps; host: each dispatch alone, from outside; default: gpu where it works",
      ).choices(["gpu", "host"]),
    )
    .option("--trace <file>", "write the dispatches in Chrome's trace format, for ui.perfetto.dev")
    .option("--roofline <file>", "draw the kernels under the adapter's roofline, as SVG")
    .option("--static", "run nothing: FLOPs and bytes alone, and with both peaks the least time for them")
    .option("--peak-tflops <x>", "with --static: arithmetic of a machine, in 10¹² FLOP/s", positiveNumber("--peak-tflops"))
    .option("--peak-bandwidth <x>", "with --static: memory of a machine, in GB/s", positiveNumber("--peak-bandwidth"))
    .addOption(driverOption())
    .addOption(memoryOption(REFUSES))
    .addOption(jsonOption())
    .action(async (bundle: string, flags: Flags) => {
      const roofline = checked(flags);
      if (!flags.static) await (await import("../runtime/node/driver.js")).ensureDriver(flags.driver);
      await profileCommand(bundle, flags, io, roofline);
    });
}

/** Options that contradict each other are refused before a driver is looked for. */
function checked({ static: still, peakTflops, peakBandwidth, ...flags }: Flags): Roofline | undefined {
  if (!still) {
    if (peakTflops === undefined && peakBandwidth === undefined) return undefined;
    return fail("DIT7001", "--peak-tflops and --peak-bandwidth are for --static", {
      help: "without --static, the adapter's own peaks are measured",
    });
  }
  const timing = (["trace", "clock", "runs"] as const).find((key) => flags[key] !== undefined);
  if (timing) fail("DIT7001", `--static runs nothing, and --${timing} is about a run`, { help: "leave one of the two out" });
  if ((peakTflops === undefined) !== (peakBandwidth === undefined)) {
    fail("DIT7001", "a roofline is two rates: --peak-tflops and --peak-bandwidth", { help: "give both, or none" });
  }
  if (peakTflops === undefined || peakBandwidth === undefined) {
    if (flags.roofline === undefined) return undefined;
    return fail("DIT7001", "--static --roofline draws a machine that it does not know", {
      help: "give --peak-tflops and --peak-bandwidth",
    });
  }
  return { flopsPerSecond: peakTflops * 1e12, bytesPerSecond: peakBandwidth * 1e9 };
}

/** Without the search for a driver. */
export async function profileCommand(dir: string, flags: Flags, io: Io, roofline?: Roofline): Promise<void> {
  const [{ readBundle }, { profile, staticProfile }, { traceOf }, { rooflineSvg }, { writeFileAtomic }] = await Promise.all([
    import("../node/index.js"),
    import("../profiler/profile.js"),
    import("../profiler/trace.js"),
    import("../profiler/roofline.js"),
    import("../formats/files.js"),
  ]);
  const bundle = await readBundle(dir);
  const { entry, batch, runs, clock, driver, memory } = flags;
  let adapter: string | undefined;
  let found: Profile;
  if (flags.static) found = staticProfile(bundle.program, { entry, batch, roofline });
  else {
    const { requestDevice } = await import("../runtime/node/dawn.js");
    const dawn = await requestDevice(driver ? { driver } : {});
    adapter = dawn.info.description;
    try {
      found = await profile(bundle, dawn.device, { entry, batch, runs, clock, memoryLimit: memory });
    } finally {
      dawn.dispose();
    }
  }
  const title = `${found.model}, ${entry}, batch ${found.batch}${adapter ? `, on ${adapter}` : ""}`;
  if (flags.trace !== undefined) await writeFileAtomic(flags.trace, `${JSON.stringify(traceOf(found, adapter!))}\n`);
  if (flags.roofline !== undefined) await writeFileAtomic(flags.roofline, `${rooflineSvg(found, title)}\n`);
  if (flags.json) printJson(io, { ...(adapter ? { adapter } : {}), ...found });
  else io.out(printProfile(found, adapter));
  for (const file of [flags.trace, flags.roofline]) if (file !== undefined) io.err(`wrote ${file}\n`);
}
