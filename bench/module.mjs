// A module of the compiler's graph, made by hand for a measurement, as a bundle that a session runs: entry `main`, compiled as any model is.
import { fromDist } from "../scripts/dist.mjs";

const paths = ["passes/index.js", "passes/pass.js", "codegen/lower.js", "program/program.js", "profiler/fill.js", "ir/types.js"];
const [{ passes }, { pipeline }, { lower }, { FORMAT, VERSION, webLimits }, { madeUpInputs }, { tensorType }] = await Promise.all(
  paths.map(fromDist),
);

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

/** Milliseconds of the clock and of this process's processors, whose own threads do a software adapter's work. */
export async function timed(task) {
  const [start, before] = [performance.now(), process.cpuUsage()];
  await task();
  const { user, system } = process.cpuUsage(before);
  return { ms: performance.now() - start, cpuMs: (user + system) / 1000 };
}
