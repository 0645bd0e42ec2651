/**
 * A program small enough to be read, with one of everything: two entries, an activation, a guarded variant, a constant, and a repeated
 * segment whose step counter lives on the GPU.
 *
 *     axpb:  y = a * x + b + table[t]         count:  5 times { step += 1; sum += a * step }, then out = sum
 */
import { type Bundle, FORMAT, type Program, VERSION, webLimits } from "../../src/program/program.js";

const header = (bindings: readonly string[]) =>
  `${bindings.map((mode, i) => `@group(0) @binding(${i}) var<storage, ${mode}> b${i}: array<f32>;`).join("\n")}
@group(0) @binding(${bindings.length}) var<uniform> u: array<vec4u, 2>;
fn index(wid: vec3u, lid: u32) -> u32 {
  let group = u[0].x + wid.x + wid.y * u[0].z;
  return select(0xffffffffu, group * 4u + lid, group < u[0].y);
}
@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = index(wid, lid);
  if (i >= u[1].x) { return; }
`;

const wgsl: Record<string, string> = {
  "mul.wgsl": `${header(["read", "read", "read_write"])}  b2[i] = b0[i] * b1[i % 4u];\n}\n`,
  "mul.sg.wgsl": `enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n${header(["read", "read", "read_write"])}  b2[i] = b0[i] * b1[i % 4u] + 0.0 * f32(subgroupAdd(0u));\n}\n`,
  "add.wgsl": `${header(["read_write", "read", "read", "read", "read_write"]).replace("b2: array<f32>", "b2: array<i32>")}  b4[i] = b0[i] + b1[i % 4u] + b3[b2[i / 4u]];\n}\n`,
  "tick.wgsl": `${header(["read", "read_write", "read_write"]).replace("b1: array<f32>", "b1: array<u32>")}  if (i > 0u) { return; }
  b1[0] += 1u;
  for (var k = 0u; k < 4u; k++) { b2[k] += b0[k] * f32(b1[0]); }\n}\n`,
  "copy.wgsl": `${header(["read_write", "read_write"])}  b1[i] = b0[i];\n}\n`,
};

const plain = (file: string) => ({ name: "plain", requires: {}, file, workgroupSize: 4, tile: [4] });
const B4 = [0, 4];

const program: Program = {
  format: FORMAT,
  version: VERSION,
  hash: "0",
  model: { name: "tiny", preset: "tiny", config: {} },
  profile: { name: "web", features: [], limits: webLimits, variants: true },
  batch: 2,
  storages: [
    { kind: "input", name: "axpb.x", bytes: [0, 16], entry: "axpb" },
    { kind: "parameter", name: "a", bytes: 16 },
    { kind: "parameter", name: "b", bytes: 16 },
    { kind: "activation", name: "ax", bytes: [0, 16], entry: "axpb", live: [0, 1] },
    { kind: "output", name: "axpb.y", bytes: [0, 16], entry: "axpb" },
    { kind: "state", name: "step", bytes: 4 },
    { kind: "state", name: "sum", bytes: 16 },
    { kind: "output", name: "count.out", bytes: 16, entry: "count" },
    { kind: "input", name: "axpb.t", bytes: [0, 4], entry: "axpb" },
    { kind: "constant", name: "table", bytes: 12 },
  ],
  parameters: [
    { name: "a", shape: [4], trainable: true, init: { rule: "ones" }, storage: 1 },
    { name: "b", shape: [4], trainable: true, init: { rule: "zeros" }, storage: 2 },
  ],
  constants: [{ name: "table", dtype: "f32", shape: [3], offset: 0, storage: 9 }],
  kernels: [
    {
      name: "mul",
      family: "map",
      access: ["read", "read", "read_write"],
      effects: ["read", "read", "write"],
      words: 8,
      variants: [
        { name: "subgroup", requires: { features: ["subgroups"] }, file: "mul.sg.wgsl", workgroupSize: 4, tile: [4] },
        plain("mul.wgsl"),
      ],
    },
    {
      name: "add",
      family: "map",
      access: ["read_write", "read", "read", "read", "read_write"],
      words: 8,
      variants: [plain("add.wgsl")],
    },
    { name: "tick", family: "map", access: ["read", "read_write", "read_write"], words: 8, variants: [plain("tick.wgsl")] },
    { name: "copy", family: "map", access: ["read_write", "read_write"], words: 8, variants: [plain("copy.wgsl")] },
  ],
  entries: [
    {
      name: "axpb",
      inputs: [
        { name: "x", dtype: "f32", axes: ["batch", "width"], shape: [[0, 1], 4], storage: 0, kind: "input" },
        { name: "t", dtype: "i32", axes: ["batch"], shape: [[0, 1]], storage: 8, kind: "input" },
        { name: "a", dtype: "f32", axes: ["width"], shape: [4], storage: 1, kind: "parameter" },
      ],
      outputs: [{ name: "y", dtype: "f32", axes: ["batch", "width"], shape: [[0, 1], 4], storage: 4, kind: "output" }],
      segments: [
        {
          repeat: 1,
          dispatches: [
            {
              kernel: 0,
              bindings: [0, 1, 3],
              uniforms: [B4],
              extent: [B4],
              label: "mul %ax @ tiny.ts:3:1",
              work: { macs: 0, flops: B4, read: [16, 16], written: [0, 16] },
            },
            {
              kernel: 1,
              bindings: [3, 2, 8, 9, 4],
              uniforms: [B4],
              extent: [B4],
              label: "add %y @ tiny.ts:4:1",
              work: { macs: 0, flops: [0, 8], read: [16, 24], written: [0, 16] },
            },
          ],
        },
      ],
    },
    {
      name: "count",
      inputs: [{ name: "step", dtype: "u32", axes: [], shape: [], storage: 5, kind: "state" }],
      outputs: [{ name: "out", dtype: "f32", axes: ["width"], shape: [4], storage: 7, kind: "output" }],
      segments: [
        {
          repeat: 5,
          dispatches: [
            {
              kernel: 2,
              bindings: [1, 5, 6],
              uniforms: [4],
              extent: [4],
              label: "tick @ tiny.ts:8:1",
              work: { macs: 4, flops: 9, read: 36, written: 20 },
            },
          ],
        },
        {
          repeat: 1,
          dispatches: [
            {
              kernel: 3,
              bindings: [6, 7],
              uniforms: [4],
              extent: [4],
              label: "copy @ tiny.ts:9:1",
              work: { macs: 0, flops: 0, read: 16, written: 16 },
            },
          ],
        },
      ],
    },
  ],
  report: {},
};

/** A fresh copy each time, so that a test may break its own. */
export const tiny = (): Bundle => ({
  program: structuredClone(program),
  wgsl: { ...wgsl },
  constants: new Uint8Array(Float32Array.of(100, 200, 300).buffer),
});

/** Any part of a program, to be damaged: tests look at what the validator says of it. */
export type Loose = { [key: string]: Loose } & Loose[];
export const loose = (value: Program): Loose => value as unknown as Loose;
export const damage = (value: unknown): Loose => value as Loose;
