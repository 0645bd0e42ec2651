// A page's WebGPU in Node, the same for every program that is measured: navigator.gpu is Dawn's, with the mended polling (a program that
// burns one of two cores proves nothing), and what is asked of it is counted.
import { availableParallelism } from "node:os";
import "./iterators.mjs";

/** Puts Dawn where programs made for pages look for it. `dawn` is a device of `requestDevice`. */
export function offerGpu({ gpu, globals }) {
  Object.assign(globalThis, globals);
  const navigator = { gpu, userAgent: `Node.js/${process.versions.node}`, hardwareConcurrency: availableParallelism() };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });
  takeSharedMemory(globals.GPUQueue.prototype);
}

/** A page's queue takes views of shared memory (that of WebAssembly with threads); Dawn's binding for Node does not. */
function takeSharedMemory(queue) {
  const { writeBuffer } = queue;
  queue.writeBuffer = function (buffer, offset, data, ...part) {
    const shared = ArrayBuffer.isView(data) && data.buffer instanceof SharedArrayBuffer;
    return writeBuffer.call(this, buffer, offset, shared ? data.slice() : data, ...part);
  };
}

/**
 * Counts on the classes of WebGPU, so that no device, queue or encoder escapes, whoever makes it. Adapters and devices are held, too: one
 * that the garbage collector takes ends the process. Bytes are those of buffers that have not been destroyed.
 */
export function countGpu(classes) {
  const counts = { dispatches: 0, submits: 0, pipelines: 0, buffers: 0, bytes: 0, peakBytes: 0 };
  const errors = [];
  const held = [];
  const sizes = new WeakMap();
  const after = (name, method, then) => {
    const { prototype } = classes[name];
    const original = prototype[method];
    prototype[method] = function (...args) {
      const result = original.apply(this, args);
      then(result, this);
      return result;
    };
  };
  const hold = (promise) => promise.then((object) => held.push(object)).catch(() => {});
  const watch = (device) =>
    device.addEventListener("uncapturederror", ({ error }) => {
      errors.push(error.message);
    });
  after("GPU", "requestAdapter", hold);
  after("GPUAdapter", "requestDevice", (promise) => {
    hold(promise);
    promise.then(watch).catch(() => {});
  });
  after("GPUDevice", "createBuffer", (buffer) => {
    counts.buffers++;
    sizes.set(buffer, buffer.size);
    counts.bytes += buffer.size;
    counts.peakBytes = Math.max(counts.peakBytes, counts.bytes);
  });
  after("GPUBuffer", "destroy", (_, buffer) => {
    counts.bytes -= sizes.get(buffer) ?? 0;
    sizes.delete(buffer);
  });
  const count = (what) => () => {
    counts[what]++;
  };
  after("GPUDevice", "createComputePipeline", count("pipelines"));
  after("GPUDevice", "createComputePipelineAsync", count("pipelines"));
  after("GPUQueue", "submit", count("submits"));
  after("GPUComputePassEncoder", "dispatchWorkgroups", count("dispatches"));
  after("GPUComputePassEncoder", "dispatchWorkgroupsIndirect", count("dispatches"));
  return { read: () => ({ ...counts }), errors };
}
