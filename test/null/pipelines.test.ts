// Pipelines are shared by kernels that have one text on a device, and by no others.
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { guard } from "../../src/runtime/guard.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { makePipelines } from "../../src/runtime/pipelines.js";

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice({ backend: "null", limits: {} });
});
afterAll(() => dawn?.dispose());

test("kernels of one text share a pipeline", async () => {
  const { bundle } = await compile("models/mlp.graph.ts", { preset: "mnist", entries: ["forward"], safe: true });
  const [first, second] = bundle.program.kernels.map((kernel) => {
    const variant = kernel.variants[0]!;
    return { kernel, variant, text: bundle.wgsl[variant.file]! };
  });
  const like = { ...first!, kernel: { ...first!.kernel, name: "another" } };
  const done: number[] = [];
  const watch = guard(dawn.device);
  const made = await makePipelines(dawn.device, watch, [first!, second!, like], (count) => done.push(count));
  expect(made[2]!.pipeline).toBe(made[0]!.pipeline);
  expect(made[1]!.pipeline).not.toBe(made[0]!.pipeline);
  expect(done).toEqual([1, 2, 3]);
  // A text that is refused is refused for each kernel that has it.
  const bad = { ...first!, text: "fn" };
  await expect(makePipelines(dawn.device, watch, [bad, { ...bad }])).rejects.toThrow(/was refused by the device/);
  watch.release();
});
