/**
 * WGSL texts that a compile can make, validated by Dawn with no driver behind it: each variant of each kernel compiles without a
 * message and makes a pipeline with the runtime's own bind group layout, whatever this machine's adapters choose among them. `npm test`
 * takes some of the programs and ways, others at each commit.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CompileOptions, compile } from "../../src/compile/compile.js";
import { guard } from "../../src/runtime/guard.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { makePipelines, type PipelineRequest, pipelineKey } from "../../src/runtime/pipelines.js";
import { sample } from "../gpu/sample.js";
import { everyVariant, messages } from "./texts.js";

let dawn: DawnDevice;
beforeAll(async () => {
  // The limits that WebGPU guarantees: no kernel may take more workgroup memory or threads.
  dawn = await requestDevice({ backend: "null", limits: {} });
});
afterAll(() => dawn?.dispose());

const programs = [
  ["models/dit.graph.ts", "tiny"],
  ["models/dit.graph.ts", "fashion"],
  ["models/dit.graph.ts", "DiT-S/4"],
  ["models/mlp.graph.ts", "mnist"],
  ["models/vit.graph.ts", "mnist"],
] as const;
const ways = [
  ["web", {}],
  ["minimum", { target: "minimum" }],
  ["safe", { safe: true }],
  ["web, weights in pairs", { dtype: "f16-weights", entries: ["forward"] }],
  ["web, other choices", { choices: { matmul: "workgroup-64x64", attention: "unfused" } }],
] as const;

/** Texts that an earlier program had too, behind the same bindings, need no second look. */
const seen = new Set<string>();
const unseen = (request: PipelineRequest): boolean => {
  const key = pipelineKey(request);
  return !seen.has(key) && seen.add(key) !== undefined;
};

// What a program asks for in one of the ways is mostly compiling it; tests of the drivers run the kernels too.
const pairs = programs.flatMap(([file, preset]) => ways.map(([way, options]) => [file, preset, way, options] as const));
test.each(sample("wgsl", pairs, 12))("%s, %s, target %s", (file, preset, _, options) => validated(file, { preset, ...options }));

// Wide enough that rows of attention leave little room, and that they leave none.
test.each([768, 1536])("one head, %d wide", (width) =>
  validated("models/dit.graph.ts", { preset: "DiT-B/2", set: ["numHeads=1", "depth=1", `hiddenSize=${width}`] }),
);

// Narrow enough that a workgroup has many rows of its own.
test.each([4, 16, 32])("heads %d wide", (width) =>
  validated("models/dit.graph.ts", { preset: "tiny", set: ["depth=1", "hiddenSize=64", `numHeads=${64 / width}`] }),
);

// More gradients than one kernel can bind: products with the sum of squares of their result.
test.each(["", "quad-32x32"])("DiT-L/2 trains, products as %j", (matmul) =>
  validated("models/dit.graph.ts", {
    preset: "DiT-L/2",
    entries: ["train_step"],
    ...(matmul === "" ? {} : { choices: { matmul } }),
  }),
);

async function validated(file: string, options: CompileOptions): Promise<void> {
  const { bundle } = await compile(file, { batch: 4, ...options });
  const requests = everyVariant(bundle);
  const { features } = dawn.device;
  for (const { variant } of requests) expect([...(variant.requires.features ?? [])].filter((f) => !features.has(f))).toEqual([]);
  if ("target" in options || "safe" in options)
    expect(requests.filter(({ variant }) => Object.keys(variant.requires).length > 0)).toEqual([]);

  const fresh = requests.filter(unseen);
  const said = await Promise.all(fresh.map((request) => messages(dawn.device, request)));
  expect(said.flat()).toEqual([]);
  const watch = guard(dawn.device);
  expect(await makePipelines(dawn.device, watch, fresh)).toHaveLength(fresh.length);
  watch.release();
}
