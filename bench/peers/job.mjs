// One program on one work in a process of its own: `node bench/peers/job.mjs PEER FOLDER RUNS`, with the driver's variables set by whoever
// starts it. The last line that it prints is the result as JSON. Numbers come first: what is wrong is not timed.
import { readFileSync } from "node:fs";
import { fromDist } from "../../scripts/dist.mjs";
import { referenceKernel, repeat, timed } from "../measure.mjs";
import { statistics } from "../statistics.mjs";
import { differences, right } from "./check.mjs";
import { countGpu, offerGpu } from "./gpu.mjs";
import { peers } from "./peers.mjs";
import { checkedSteps, readExpected, readTask, writeExpected } from "./task.mjs";

const [name, folder, count] = process.argv.slice(2);
const peer = peers.find((candidate) => candidate.name === name);
if (!peer) throw new Error(`there is no peer "${name}"`);
const runs = Number(count);
const result = await measured().catch((error) => ({ failed: reason(error) }));
console.log(JSON.stringify({ peer: name, version: packageVersion(), ...result }));
process.exit(0);

async function measured() {
  const task = readTask(folder);
  const machine = peer.gpu ? await gpuMachine() : {};
  const counter = machine.counter;
  const known = peer.ahead && (await (await import(peer.ahead)).ahead(task));
  let program;
  const loadMs = await timed(async () => {
    program = await (await import(peer.module))[task.kind](task, known);
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
  if (peer.ours) writeExpected(folder, found);
  const check = differences(readExpected(folder), found);
  const about = { adapter: machine.adapter, driver: machine.driver, loadMs, firstMs, check, errors: counter?.errors };
  if (!right(check, counter?.errors)) return { ...about, wrong: true };

  const referenceBeforeMs = await machine.reference?.();
  const before = counter?.read();
  const cpu = [];
  const times = await repeat(runs, async () => {
    const start = process.cpuUsage();
    const time = await timed(one);
    const { user, system } = process.cpuUsage(start);
    cpu.push((user + system) / 1000);
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
    cpuMs: peer.outside ? undefined : statistics(cpu).medianMs,
    ...{ referenceBeforeMs, referenceAfterMs },
    ...{ dispatches: each("dispatches"), submits: each("submits"), buffers: each("buffers") },
    ...{ pipelines: after?.pipelines, peakBytes: after?.peakBytes },
  };
}

/** Dawn as a page's WebGPU, counted from here on; the reference kernel has a device of its own, made before. */
async function gpuMachine() {
  const { requestDevice } = await fromDist("runtime/node/dawn.js");
  const dawn = await requestDevice();
  const reference = await referenceKernel(dawn);
  offerGpu(dawn);
  return { adapter: dawn.info.description, driver: dawn.kind, reference, counter: countGpu(dawn.globals) };
}

function packageVersion() {
  if (!peer.package && !peer.ours) return undefined;
  const file = peer.package ? `./node_modules/${peer.package}/package.json` : "../../package.json";
  return JSON.parse(readFileSync(new URL(file, import.meta.url), "utf8")).version;
}

function reason(error) {
  console.error(error);
  return String(error?.message ?? error).split("\n")[0];
}
