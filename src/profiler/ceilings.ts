/**
 * What the adapter can do at most, measured: a kernel of nothing but multiply-adds, and one that only copies. The compiler's kernels are
 * held against them, because data sheets say nothing of a driver, and there is none of a software adapter.
 */
import { readFileSync } from "node:fs";
import type { Timestamps } from "../runtime/runner.js";

/** A micro-kernel; `run` resolves when the device has done it. */
export interface Ceiling {
  /** Of one run. */
  readonly flops: number;
  readonly bytes: number;
  run(timestamps?: Timestamps): Promise<void>;
  dispose(): void;
}

const usage = { copyTarget: 8, storage: 0x80 } as const;

const WORKGROUP = 64;
/** Of an invocation of fma.wgsl: 16 chains of 512. */
const FMA_FLOPS = 2 * 16 * 512;
const SMALLEST_GRID = 128;
const LARGEST_GRID = 1 << 15;
/** A run that is shorter would rather measure its start. */
const LEAST_MS = 2;

/** f32 multiply-adds in registers, as many as keep the adapter busy for a while. */
export async function fmaCeiling(device: GPUDevice): Promise<Ceiling> {
  const pipeline = await pipelineOf(device, "fma.wgsl");
  const make = async (groups: number): Promise<Ceiling> => {
    const buffer = device.createBuffer({ size: 4 * (2 + groups * WORKGROUP), usage: usage.storage | usage.copyTarget });
    device.queue.writeBuffer(buffer, 0, Float32Array.of(0.999, 0.5));
    const run = runner(device, pipeline, [buffer], groups);
    return { flops: FMA_FLOPS * groups * WORKGROUP, bytes: 0, run, dispose: () => buffer.destroy() };
  };
  let ceiling = await make(SMALLEST_GRID);
  // The first run compiles.
  await ceiling.run();
  for (let groups = 2 * SMALLEST_GRID; groups <= LARGEST_GRID; groups *= 2) {
    const begin = performance.now();
    await ceiling.run();
    if (performance.now() - begin >= LEAST_MS) break;
    ceiling.dispose();
    ceiling = await make(groups);
  }
  return ceiling;
}

/** More than caches hold, on most machines; buffers of the WebGPU minimum allow it. */
const COPY_BYTES = 64 << 20;
/** Of an invocation of copy.wgsl: 64 vec4f. */
const COPIED_BYTES = 64 * 16;

export async function copyCeiling(device: GPUDevice): Promise<Ceiling> {
  const pipeline = await pipelineOf(device, "copy.wgsl");
  const buffers = [0, 1].map(() => device.createBuffer({ size: COPY_BYTES, usage: usage.storage }));
  const ceiling: Ceiling = {
    flops: 0,
    bytes: 2 * COPY_BYTES,
    run: runner(device, pipeline, buffers, COPY_BYTES / COPIED_BYTES / WORKGROUP),
    dispose: () => {
      for (const buffer of buffers) buffer.destroy();
    },
  };
  await ceiling.run();
  return ceiling;
}

function pipelineOf(device: GPUDevice, file: string): Promise<GPUComputePipeline> {
  const code = readFileSync(new URL(`./${file}`, import.meta.url), "utf8");
  const module = device.createShaderModule({ label: file, code });
  return device.createComputePipelineAsync({ label: file, layout: "auto", compute: { module } });
}

function runner(device: GPUDevice, pipeline: GPUComputePipeline, buffers: readonly GPUBuffer[], groups: number): Ceiling["run"] {
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  return async (timestamps) => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass(timestamps ? { timestampWrites: timestamps(0) } : {});
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(groups);
    pass.end();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
  };
}
