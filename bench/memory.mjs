// The curve of memory against work: what a training step takes with ever more of its forward computed again in the backward.
import { statistics } from "./statistics.mjs";

/** Every point that is worth having, { bytes, work, values }: work is a share of the step's own. `from` gives the compiler's parts. */
export async function memoryCurve(from, { model, preset, batch, entry = "train_step", points = Infinity }) {
  const [{ compile }, { Points }, { targetProfile }] = await Promise.all([
    from("compile/compile.js"),
    from("compile/fit-memory.js"),
    from("compile/target.js"),
  ]);
  let fused;
  const options = { preset, batch, entries: [entry] };
  const after = (pass, module) => {
    if (pass === "fuse") fused = module;
  };
  await compile(model, { ...options, after });
  const profile = targetProfile("web");
  const schedules = [{ name: entry, segments: [{ fn: entry, repeat: 1 }] }];
  const { maxStorageBufferBindingSize: maxBinding, maxStorageBuffersPerShaderStage: maxStorageBuffers } = profile.limits;
  const lowering = { batch, variants: true, safe: false, choices: {}, maxBinding, maxStorageBuffers };
  const way = new Points(fused, schedules, lowering, profile);
  const choices = way.choices;
  const found = [];
  for (const choice of thinned(choices, points)) {
    const bytes = way.bytes(choice);
    if (found.some((other) => other.bytes <= bytes)) continue;
    found.push({ bytes, model: choice.bytes, work: way.share(choice), values: choice.recomputation.values.length });
  }
  return found;
}

/** About so many of the choices, evenly by the memory that they take. */
function thinned(choices, points) {
  const span = choices[0].bytes - Math.min(...choices.map((c) => c.bytes));
  let next = Infinity;
  return choices.filter((choice, i) => {
    if (i < choices.length - 1 && choice.bytes > next) return false;
    next = choice.bytes - span / points;
    return true;
  });
}

/** How many budgets are held in memory beside the first, with which they take turns. */
const BESIDE = 2;

/**
 * What a step at each budget takes: { bytes, ms, ratio }, `ratio` against the first budget. A few budgets at a time run in turn with the first,
 * so that a busy machine is as busy for both; a ratio is the median of those of the rounds.
 */
export async function timeOfBudgets(from, { model, preset, batch, budgets, rounds, entry = "train_step" }) {
  const [{ compile }, { ensureDriver }, { requestDevice }, { Trainer }] = await Promise.all([
    from("compile/compile.js"),
    from("runtime/node/driver.js"),
    from("runtime/node/dawn.js"),
    from("trainer/trainer.js"),
  ]);
  await ensureDriver();
  const { device } = await requestDevice();
  const { bundle: plain } = await compile(model, { preset, batch, entries: [entry] });
  const image = plain.program.entries[0].inputs.find(({ name }) => name === "x_start");
  const [channels, height, width] = image.shape.slice(1);
  const x_start = Float32Array.from({ length: batch * channels * height * width }, (_, i) => Math.sin(i));
  const y = Int32Array.from({ length: batch }, (_, i) => i % 10);
  const contender = async (bytes) => {
    const { bundle } = await compile(model, { preset, batch, entries: [entry], memory: { bytes } });
    return { bytes, trainer: await Trainer.create(bundle, device, { batch, seed: 1 }), times: [] };
  };
  const first = await contender(budgets[0]);
  const found = [];
  // The first alone, where there is no other.
  for (let start = 1; start === 1 || start < budgets.length; start += BESIDE) {
    const others = await Promise.all(budgets.slice(start, start + BESIDE).map(contender));
    first.times = [];
    for (let round = -1; round < rounds; round++) {
      for (const { trainer, times } of [first, ...others]) {
        const began = performance.now();
        await trainer.step({ x_start, y, seed: Uint32Array.of(1), first: Int32Array.of(0) });
        await trainer.losses();
        // The first round compiles what the driver compiles late.
        if (round >= 0) times.push(performance.now() - began);
      }
    }
    if (found.length === 0) found.push({ bytes: first.bytes, ms: median(first.times), ratio: 1 });
    for (const { bytes, trainer, times } of others) {
      found.push({ bytes, ms: median(times), ratio: median(times.map((ms, i) => ms / first.times[i])) });
      trainer.dispose();
    }
  }
  first.trainer.dispose();
  return found;
}

const median = (numbers) => statistics(numbers).medianMs;
