// In the page that page.mjs serves: one program on one work, measured as in Node. What it reads and writes are addresses of that server.
import { parseSafetensors, writeSafetensors } from "../../dist/formats/safetensors.js";
import { referenceKernel } from "../measure.mjs";
import { countGpu } from "./count-gpu.mjs";
import { measured } from "./measured.mjs";

const modules = {
  "dit-compile": () => import("./dit-compile-page.mjs"),
  "jax-js": () => import("./jax-js.mjs"),
  "tensorflow-js": () => import("./tensorflow-js.mjs"),
  "onnxruntime-web": () => import("./onnxruntime-web.mjs"),
};

/** `job` is { peer, ours, ahead, runs }: ahead says that /ahead has what was made before. */
export async function run({ peer, ours, ahead, runs }) {
  const [weights, inputs, about, code] = await Promise.all([
    tensors("weights"),
    tensors("inputs"),
    get("task.json"),
    get("reference.wgsl"),
  ]);
  const task = { ...(await about.json()), weights, inputs };
  return measured({
    ...{ task, runs, machine: await gpuMachine(await code.text()), module: modules[peer] },
    known: ahead ? new Uint8Array(await (await get("ahead")).arrayBuffer()) : undefined,
    expected: async () => new Map([...(await tensors("expected"))].map(([name, { data }]) => [name, data])),
    found: (numbers) => ours && put("expected.safetensors", asFile(numbers)),
  });
}

async function gpuMachine(code) {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("the browser offers no WebGPU adapter");
  const { description, vendor, architecture } = adapter.info;
  const reference = await referenceKernel({ device: await adapter.requestDevice(), globals: globalThis }, code);
  const adapterName = description || [vendor, architecture].filter(Boolean).join(" ");
  return { adapter: adapterName, driver: "chromium", reference, counter: countGpu(globalThis) };
}

const asFile = (numbers) =>
  writeSafetensors(
    new Map([...numbers].map(([name, data]) => [name, { dtype: "F32", shape: [data.length], data: Float32Array.from(data) }])),
  );

async function tensors(name) {
  const bytes = new Uint8Array(await (await get(`${name}.safetensors`)).arrayBuffer());
  return parseSafetensors(bytes, name).tensors;
}

async function get(path) {
  const response = await fetch(`/${path}`);
  if (!response.ok) throw new Error(`/${path}: ${response.status}`);
  return response;
}

/** Bytes of a request: Playwright is told of each with its body, as text, and Node has no string of the 130 MB of DiT-S/4's gradients so. */
const PART_BYTES = 2 ** 23;

async function put(path, bytes) {
  for (let from = 0; from < bytes.length; from += PART_BYTES) {
    const response = await fetch(`/${path}?from=${from}`, { method: "PUT", body: bytes.subarray(from, from + PART_BYTES) });
    if (!response.ok) throw new Error(`/${path}: ${response.status}`);
  }
}
