// The first thing that every GPU project proves: it runs on the adapter that its name says, and that adapter computes.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { isDawnCallback } from "../../src/runtime/node/polling.js";

/** A GPU has what it has. */
const width = process.env.DIT_TEST_SUBGROUP;
let dawn: DawnDevice;

beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn?.dispose());

test("the adapter is the one that the project names", () => {
  const project = process.env.DIT_TEST_PROJECT ?? "";
  expect(project).toMatch(/^(lavapipe-\d+|swiftshader|hardware)$/);
  expect(dawn.kind).toBe(project.replace(/-\d+$/, ""));
  const software = { lavapipe: "llvmpipe", swiftshader: "SwiftShader" }[dawn.kind as string];
  if (software) expect(dawn.info.description).toContain(software);
});

test.runIf(width)("subgroups have the width that the project names", async () => {
  expect([dawn.info.subgroupMinSize, dawn.info.subgroupMaxSize]).toEqual([Number(width), Number(width)]);
  const sizes = await compute("enable subgroups;", "@builtin(subgroup_size) size: u32", "size");
  expect(new Set(sizes)).toEqual(new Set([Number(width)]));
});

test("a kernel computes", async () => {
  const squares = await compute("", "@builtin(local_invocation_index) local: u32", "id.x * id.x + 0u * local");
  expect([...squares]).toEqual(Array.from({ length: squares.length }, (_, i) => i * i));
});

test("Dawn's polling is recognised, so that it can be slowed", async () => {
  const seen: boolean[] = [];
  const slowed = globalThis.setImmediate;
  const spy = (callback: () => void, ...args: []) => {
    seen.push(isDawnCallback(callback, args));
    return slowed(callback, ...args);
  };
  try {
    globalThis.setImmediate = spy as typeof setImmediate;
    await dawn.device.queue.onSubmittedWorkDone();
  } finally {
    globalThis.setImmediate = slowed;
  }
  expect(seen).toContain(true);
});

/** Runs one expression for each of 256 invocations and reads the results back. */
async function compute(enable: string, builtin: string, expression: string): Promise<Uint32Array> {
  const { device, globals } = dawn;
  const { GPUBufferUsage, GPUMapMode } = globals;
  const size = 256 * 4;
  const out = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
  const back = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const code = `${enable}
    @group(0) @binding(0) var<storage, read_write> out: array<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u, ${builtin}) { out[id.x] = ${expression}; }`;
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  const entries = [{ binding: 0, resource: { buffer: out } }];
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(4);
  pass.end();
  encoder.copyBufferToBuffer(out, 0, back, 0, size);
  device.queue.submit([encoder.finish()]);
  await back.mapAsync(GPUMapMode.READ);
  return new Uint32Array(back.getMappedRange().slice(0));
}
