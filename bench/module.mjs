// A module of the compiler's graph, made by hand for a measurement, as a bundle that a session runs: entry `main`, compiled as any model is.
import { fromDist } from "../scripts/dist.mjs";

const paths = [
  "passes/index.js",
  "passes/pass.js",
  "codegen/lower.js",
  "program/program.js",
  "profiler/fill.js",
  "ir/types.js",
  "runtime/session.js",
];
const [{ passes }, { pipeline }, { lower }, { FORMAT, VERSION, webLimits }, { madeUpInputs }, { tensorType }, { createSession }] =
  await Promise.all(paths.map(fromDist));

/** `name("a", "row column", 2, 3)` makes an f32 input of a function. */
export const inputsOf =
  (builder) =>
  (name, axes, ...shape) =>
    builder.param(name, "input", tensorType("f32", axes.split(" "), shape));

/** Kernels of function `main`. */
export const kernelsOf = (fn, options = {}) =>
  pipeline(passes, { stage: "graph", fns: [fn] }, { options: { differentiated: true, ...options }, verify: "last" });

/** `how`: choices or tuning. Runs `repeat` times a submit. */
export function bundleOf(kernels, { batch = 1, repeat = 1, ...how } = {}) {
  const schedule = { name: "main", segments: [{ fn: "main", repeat }] };
  const lowered = lower(kernels, [schedule], { batch, variants: true, safe: false, ...how });
  return {
    wgsl: lowered.wgsl,
    constants: new Uint8Array(),
    program: {
      format: FORMAT,
      version: VERSION,
      hash: "",
      model: { name: "bench", preset: "", config: {} },
      profile: { name: "web", features: [], limits: webLimits, variants: true },
      batch,
      storages: lowered.storages,
      parameters: [],
      constants: [],
      kernels: lowered.kernels,
      entries: lowered.entries,
      report: {},
    },
  };
}

/** Waves for every input of the one entry. */
export const inputsFor = ({ program }) => madeUpInputs(program.entries[0], program.batch);

/** A bundle on the device, run once: the whole of it, and its dispatches from one number up to before another, as something to time. */
export async function opened(bundle, { device }) {
  const session = await createSession(bundle, device, { batch: bundle.program.batch });
  await session.submit("main", inputsFor(bundle));
  await session.idle();
  const idle = () => session.idle();
  const part = (from, until) => repeated({ submit: () => session.submit("main", undefined, { from, until }), idle });
  return { session, whole: { submit: () => session.submit("main"), idle }, part };
}

/** Least time of what is timed, so that starting it costs little beside it. */
const LEAST_MS = 20;

/**
 * Something to time, whose submit has `each` runs: gives milliseconds of one run. There are as many submits in a row as take long enough,
 * which the calls before have found out.
 */
export function repeated({ submit, idle }, each = 1) {
  let submits = 1;
  return async () => {
    const { ms, cpuMs } = await timed(async () => {
      for (let i = 0; i < submits; i++) await submit();
      await idle();
    });
    const runs = submits * each;
    if (ms < LEAST_MS) submits = Math.ceil((submits * LEAST_MS) / ms);
    return { ms: ms / runs, cpuMs: cpuMs / runs };
  };
}

/** Milliseconds of the clock and of this process's processors, whose own threads do a software adapter's work. */
export async function timed(task) {
  const [start, before] = [performance.now(), process.cpuUsage()];
  await task();
  const { user, system } = process.cpuUsage(before);
  return { ms: performance.now() - start, cpuMs: (user + system) / 1000 };
}
