/**
 * Texts for matrix units, which no adapter here has: Dawn's compiler takes them without a message, and its null device makes pipelines of
 * them. That is WGSL's own rules (types, alignment, what must be the same in a subgroup); not which shapes a device multiplies, of which
 * the null device knows none, and not what comes out: test/driver/matrix.test.ts computes with stand-ins for the three built-in functions.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { matmulChoices } from "../../src/codegen/kernels/matmul.js";
import { compile } from "../../src/compile/compile.js";
import { MATRICES } from "../../src/program/program.js";
import { guard } from "../../src/runtime/guard.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { makePipelines } from "../../src/runtime/pipelines.js";
import { everyVariant, messages } from "./texts.js";

let dawn: DawnDevice;
beforeAll(async () => {
  process.env.DIT_COMPILE_DAWN = "allow_unsafe_apis";
  dawn = await requestDevice({ backend: "null", limits: {} });
});
afterAll(() => {
  delete process.env.DIT_COMPILE_DAWN;
  dawn?.dispose();
});

const designs = matmulChoices.filter(({ needs }) => needs?.includes(MATRICES)).map(({ name }) => name);

test("Dawn has the feature once unsafe APIs are allowed", () => {
  expect(dawn.device.features.has(MATRICES)).toBe(true);
  expect(designs.length).toBeGreaterThan(2);
});

// Products of a forward have weights in f16; in training, gradients of weights alone have two such operands, and carry a sum.
test.each(designs)("%s: texts of forward and training", async (matmul) => {
  const options = { batch: 2, dtype: "f16" as const, choices: { matmul } };
  const made = await Promise.all([
    compile("models/dit.graph.ts", { ...options, preset: "DiT-S/4", entries: ["forward"] }),
    compile("models/dit.graph.ts", { ...options, preset: "tiny", set: ["depth=1"], entries: ["train_step"] }),
  ]);
  const requests = made.flatMap(({ bundle }) => everyVariant(bundle).filter(({ variant }) => variant.requires.matrix));
  expect(requests.length).toBeGreaterThan(8);
  expect(requests.filter(({ text }) => text.includes("const SUM_A = true")).length).toBeGreaterThan(0);
  for (const request of requests) {
    expect(request.variant.name).toBe(matmul);
    expect(await messages(dawn.device, request)).toEqual([]);
    // Dawn refuses workgroups that are no whole subgroups; the null device's are of up to 128 lanes.
    expect(request.variant.workgroupSize % 128).toBe(0);
  }
  // More workgroup memory than every device has is asked for as a limit, of which the null device has the least.
  const within = requests.filter(({ variant }) => variant.requires.limits === undefined);
  const watch = guard(dawn.device);
  expect(await makePipelines(dawn.device, watch, within)).toHaveLength(within.length);
  watch.release();
});

test("a place that differs within a subgroup is seen", async () => {
  const { bundle } = await compile("models/dit.graph.ts", {
    preset: "tiny",
    dtype: "f16",
    entries: ["forward"],
    choices: { matmul: designs[0]! },
  });
  const request = everyVariant(bundle).find(({ variant }) => variant.requires.matrix)!;
  const wrong = request.text.replace("let slice = subgroup / PLACES;", "let slice = lid / PLACES;");
  expect((await messages(dawn.device, { ...request, text: wrong })).join()).toContain("requires argument 1 to be uniform");
});
