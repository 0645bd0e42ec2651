// What is asked of WebGPU, counted, in Node as in a page.

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
