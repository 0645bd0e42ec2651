// The GPU's random numbers are TypeScript's, bit by bit, on every adapter: bits, integers, booleans, uniforms and normals.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  drawBernoulli,
  drawBits,
  drawInt,
  drawNormal,
  drawUniform,
  keyOf,
  normalTable,
  threefry,
} from "../../src/program/random.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";

const count = 100_000;
const key = keyOf(2 ** 40 + 12345, 0xdeadbeef, 77);
const source = readFileSync(new URL("../../src/program/random.wgsl", import.meta.url), "utf8");
const table = normalTable();
let dawn: DawnDevice;

beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn?.dispose());

/** Bits of every element, with the rare ends of the range forced in. */
const edges = [0, 1, 2, 255, 256, 257, 0x3fffffff, 0x40000000, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff];
const inputs = Uint32Array.from({ length: count }, (_, i) => edges[i] ?? drawBits(key, i, i % 7) >>> (i % 4 === 3 ? i % 31 : 0));

test("bits are the same", async () => {
  const got = await compute("draw_bits(key, i, i % 7u)");
  expect(differences(got, (i) => drawBits(key, i, i % 7))).toBe(0);
});

test("all four words are the same", async () => {
  const got = await compute("dot(threefry(key.wzyx, vec4u(i, bits, ~i, 5u)), vec4u(1u, 3u, 5u, 7u))");
  const expected = (i: number): number => {
    const words = threefry([key[3], key[2], key[1], key[0]], [i, inputs[i]!, ~i >>> 0, 5]);
    return words.reduce((sum, word, k) => (sum + Math.imul(word, 2 * k + 1)) >>> 0, 0);
  };
  expect(differences(got, expected)).toBe(0);
});

test("integers are the same", async () => {
  expect(differences(await compute("draw_int(bits, 1000u)"), (i) => drawInt(inputs[i]!, 1000))).toBe(0);
  const below = (i: number): number => Math.imul(i, 2654435761) >>> 0;
  expect(differences(await compute("draw_int(bits, i * 2654435761u)"), (i) => drawInt(inputs[i]!, below(i)))).toBe(0);
});

test("booleans and uniforms are the same", async () => {
  const booleans = await compute("select(0u, 1u, draw_bernoulli(bits, 429496730u))");
  expect(differences(booleans, (i) => Number(drawBernoulli(inputs[i]!, 429496730)))).toBe(0);
  const uniforms = new Float32Array((await compute("bitcast<u32>(draw_uniform(bits))")).buffer);
  expect(differences(uniforms, (i) => drawUniform(inputs[i]!))).toBe(0);
});

test("normals are the same", async () => {
  const normals = await compute("bitcast<u32>(draw_normal(bits))");
  const expected = Float32Array.from(inputs, (bits) => drawNormal(bits, table));
  expect(differences(normals, (i) => new Uint32Array(expected.buffer, 4 * i, 1)[0]!)).toBe(0);
});

const differences = (got: ArrayLike<number>, expected: (i: number) => number): number => {
  let wrong = got.length === count ? 0 : count;
  for (let i = 0; i < got.length; i++) if (got[i] !== expected(i)) wrong++;
  return wrong;
};

/** One u32 for each element from an expression of `i`, `bits` and `key`. */
async function compute(expression: string): Promise<Uint32Array> {
  const { device, globals } = dawn;
  const { GPUBufferUsage, GPUMapMode } = globals;
  const code = `${source}
    @group(0) @binding(0) var<storage, read> normals: array<i32>;
    @group(0) @binding(1) var<storage, read> inputs: array<u32>;
    @group(0) @binding(2) var<storage, read_write> out: array<u32>;
    fn normal_table(i: u32) -> i32 { return normals[i]; }
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      let i = id.x;
      if (i >= ${count}u) { return; }
      let key = vec4u(${key.map((word) => `${word}u`).join(", ")});
      let bits = inputs[i] | (u32(normals[8192]) & 1u); // keeps every binding alive
      out[i] = ${expression};
    }`;
  const upload = (data: Int32Array | Uint32Array): GPUBuffer => {
    const buffer = device.createBuffer({ size: data.byteLength, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
    device.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>);
    return buffer;
  };
  const size = 4 * count;
  const out = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
  const back = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  const entries = [upload(table), upload(inputs), out].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(Math.ceil(count / 64));
  pass.end();
  encoder.copyBufferToBuffer(out, 0, back, 0, size);
  device.queue.submit([encoder.finish()]);
  await back.mapAsync(GPUMapMode.READ);
  return new Uint32Array(back.getMappedRange().slice(0));
}
