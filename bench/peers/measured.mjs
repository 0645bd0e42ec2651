// One program on one work, in Node as in a page. Numbers come first: what is wrong is not timed.
import { repeat, timed } from "../measure.mjs";
import { statistics } from "../statistics.mjs";
import { differences, right } from "./check.mjs";

/** Steps whose losses are compared; the first one's gradients are, too. */
export const checkedSteps = 3;

/**
 * `module` gives the program's module, `known` is what was made ahead, `machine` { adapter, driver, reference, counter } where a GPU is
 * used, `expected` gives our numbers, against which those found are held, by name; `found` is told all of them.
 */
export async function measured({ module, task, known, machine = {}, runs, expected, found: tell = () => {} }) {
  const { counter } = machine;
  let program;
  const loadMs = await timed(async () => {
    program = await (await module())[task.kind](task, known);
  });
  const found = new Map();
  const one = task.kind === "forward" ? program.run : program.step;
  const losses = [];
  const firstMs = await timed(async () => {
    const value = await one();
    if (task.kind === "forward") found.set("out", value);
    else losses.push(value);
  });
  if (task.kind === "train") {
    for (const [key, data] of await program.gradients()) found.set(`gradient of ${key}`, data);
    while (losses.length < checkedSteps) losses.push(await one());
    found.set("losses", losses);
  } else {
    // A program may be right once and wrong from the second run on.
    await one();
    found.set("out, third run", await one());
  }
  await tell(found);
  const check = differences(await expected(), found);
  const about = { adapter: machine.adapter, driver: machine.driver, loadMs, firstMs, check, errors: counter?.errors };
  if (!right(check, counter?.errors)) return { ...about, wrong: true };

  const referenceBeforeMs = await machine.reference?.();
  const before = counter?.read();
  const cpu = [];
  const times = await repeat(runs, async () => {
    const start = globalThis.process?.cpuUsage?.();
    const time = await timed(one);
    if (start) {
      const { user, system } = process.cpuUsage(start);
      cpu.push((user + system) / 1000);
    }
    return time;
  });
  const after = counter?.read();
  const referenceAfterMs = await machine.reference?.();
  const each = (what) => after && Math.round((after[what] - before[what]) / runs);
  return {
    ...about,
    ...(program.version ? { version: program.version } : {}),
    ...(program.where ? { where: program.where } : {}),
    ...statistics(times),
    cpuMs: cpu.length > 0 ? statistics(cpu).medianMs : undefined,
    ...{ referenceBeforeMs, referenceAfterMs },
    ...{ dispatches: each("dispatches"), submits: each("submits"), buffers: each("buffers") },
    ...{ pipelines: after?.pipelines, peakBytes: after?.peakBytes },
  };
}
