// One program on one work in a process of its own: `node bench/peers/job.mjs PEER FOLDER RUNS`, with the driver's variables set by whoever
// starts it. The last line that it prints is the result as JSON. In a page the same is done by page.mjs.
import { fromDist } from "../../scripts/dist.mjs";
import { referenceKernel } from "../measure.mjs";
import { referenceCode } from "../reference.mjs";
import { countGpu } from "./count-gpu.mjs";
import { offerGpu } from "./gpu.mjs";
import { measured } from "./measured.mjs";
import { peerNamed, reason, versionOf } from "./peers.mjs";
import { readExpected, readTask, writeExpected } from "./task.mjs";

const [name, folder, count] = process.argv.slice(2);
const peer = peerNamed(name);
const result = await measure().catch((error) => ({ failed: reason(error) }));
// The processor time of another process is not seen.
console.log(JSON.stringify({ peer: name, version: versionOf(peer), ...result, ...(peer.outside ? { cpuMs: undefined } : {}) }));
process.exit(0);

async function measure() {
  const task = readTask(folder);
  const machine = peer.gpu ? await gpuMachine() : {};
  const known = peer.ahead && (await (await import(peer.ahead)).ahead(task));
  return measured({
    ...{ task, machine, known, runs: Number(count) },
    module: () => import(peer.module),
    expected: () => readExpected(folder),
    found: (numbers) => peer.ours && writeExpected(folder, numbers),
  });
}

/** Dawn as a page's WebGPU, counted from here on; the reference kernel has a device of its own, made before. */
async function gpuMachine() {
  const { requestDevice } = await fromDist("runtime/node/dawn.js");
  const dawn = await requestDevice();
  const reference = await referenceKernel(dawn, referenceCode());
  offerGpu(dawn);
  return { adapter: dawn.info.description, driver: dawn.kind, reference, counter: countGpu(dawn.globals) };
}
