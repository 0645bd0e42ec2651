// A page's WebGPU in Node, the same for every program that is measured: navigator.gpu is Dawn's, with the mended polling (a program that
// burns one of two cores proves nothing).
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
