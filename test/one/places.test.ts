/**
 * Models whose weights and products are read and made in parts, in ways that a transformer has not: their gradients lie where they belong.
 * After one training step the first moment is a tenth of the gradient, so the moments say whether each gradient is the reference's.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { differentiate } from "../../src/passes/differentiate.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { trainingInputs, typed } from "../gpu/training-inputs.js";
import { strays } from "../strays.js";

const batch = 2;
let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

test.each(["memory", "stack", "stack-of-weights", "flip", "overlap"])("test/models/%s.graph.ts", async (name) => {
  const { bundle, graph } = await compile(`test/models/${name}.graph.ts`, { batch, entries: ["train_step"] });
  const state = trainingInputs(differentiate.run(graph, {}), batch);
  const bounds = strays(differentiate.run(graph, {}), "train_step", state, batch);
  const session = await createSession(bundle, dawn.device, { batch });
  for (const [key, { data }] of state) if (key !== "x" && key !== "y") await session.write(key, typed(key, data));
  const inputs = { x: typed("x", state.get("x")!.data), y: typed("y", state.get("y")!.data) };
  await session.run("train_step", inputs as Record<string, Float32Array | Int32Array>);
  const moments = [...state.keys()].filter((key) => key.startsWith("m."));
  const found = await session.read(moments);
  for (const key of moments) {
    const { exact, bound } = bounds.get(key)!;
    const worst = exact.data.reduce((m, e, i) => Math.max(m, Math.abs(e - (found[key] as Float32Array)[i]!)), 0);
    expect(worst, key).toBeLessThanOrEqual(bound);
    expect(
      exact.data.some((e) => e !== 0),
      key,
    ).toBe(true);
  }
  session.dispose();
});
