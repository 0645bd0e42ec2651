// What every timed job does alike: time a task, repeat it, and time a plain kernel before and after, which tells whether the machine was
// disturbed meanwhile. Nothing here is of Node: a page measures by it, too.
import { statistics } from "./statistics.mjs";

export async function timed(task) {
  const start = performance.now();
  await task();
  return performance.now() - start;
}

export async function repeat(n, task) {
  const times = [];
  for (let i = 0; i < n; i++) times.push(await task());
  return times;
}

/** Times the reference kernel, `code` (reference.wgsl): the median of five, after one that compiles it. */
export async function referenceKernel({ device, globals }, code) {
  const elements = 256 * 256;
  const { STORAGE } = globals.GPUBufferUsage;
  const buffers = [0, 1, 2].map(() => device.createBuffer({ size: elements * 4, usage: STORAGE }));
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const once = () =>
    timed(async () => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(elements / 64);
      pass.end();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
    });
  await once();
  return async () => statistics(await repeat(5, once)).medianMs;
}
