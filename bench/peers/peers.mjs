// Who is measured. `gpu`: through WebGPU on the adapter that was chosen, else on the CPU. `kinds`: what it can do. `module` exports a
// function for each kind: it takes a task and gives, loaded and ready,
//   forward: { run(): Promise<Float32Array> }                       the output [batch, channel, height, width]
//   train:   { step(): Promise<number>,                             one step on the task's batch; the loss before it
//              gradients(): Promise<Map<name, Float32Array>> }      after the first step: of each trained weight, as checkpoints have it
// Inputs are uploaded and results read back in every run, by all alike. `ahead` is a module whose `ahead(task)` makes, before the clock
// runs, what one has on disk when it is used: a compiled bundle, an ONNX file. `page`: what a page downloads, see download.mjs.
// `outside`: the work is done in another process, whose processor time is not seen. Those with `gpu` run in a page as well, where page-job.mjs
// lists their modules.
import { readFileSync } from "node:fs";

const both = ["forward", "train"];

export const peers = [
  { name: "dit-compile", ours: true, gpu: true, kinds: both, module: "./dit-compile.mjs", ahead: "./dit-compile.mjs" },
  {
    ...{ name: "jax-js", package: "@jax-js/jax", gpu: true, kinds: both, module: "./jax-js.mjs" },
    page: { entry: "jax-js.mjs", unused: /webgl/ },
  },
  {
    ...{ name: "tensorflow-js", package: "@tensorflow/tfjs", gpu: true, kinds: both, module: "./tensorflow-js.mjs" },
    page: { entry: "tensorflow-js.mjs" },
  },
  {
    ...{ name: "onnxruntime-web", package: "onnxruntime-web", gpu: true, kinds: ["forward"], module: "./onnxruntime-web.mjs" },
    ahead: "./onnx-model.mjs",
    page: {
      entry: "onnxruntime-web.mjs",
      files: ["onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm"],
    },
  },
  {
    ...{
      name: "onnxruntime-node",
      package: "onnxruntime-node",
      gpu: false,
      kinds: ["forward"],
      module: "./onnxruntime-node.mjs",
    },
    ahead: "./onnx-model.mjs",
  },
  { name: "torch", gpu: false, outside: true, kinds: both, module: "./torch.mjs" },
];

export function peerNamed(name) {
  const peer = peers.find((candidate) => candidate.name === name);
  if (!peer) throw new Error(`there is no peer "${name}"`);
  return peer;
}

/** Of the package that is installed here. */
export function versionOf(peer) {
  if (!peer.package && !peer.ours) return undefined;
  const file = peer.package ? `./node_modules/${peer.package}/package.json` : "../../package.json";
  return JSON.parse(readFileSync(new URL(file, import.meta.url), "utf8")).version;
}

/** Why a program does not run, in a line; the whole goes to the standard error. */
export function reason(error) {
  console.error(error);
  return String(error?.message ?? error).split("\n")[0];
}
