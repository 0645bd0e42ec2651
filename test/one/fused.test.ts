/**
 * Fusion changes no result: each model's forward, loss and gradients, fused and with one op a kernel in the naive form, against the f64
 * reference of the graph as it was traced and against each other, as far as f32 can tell (test/strays.ts). No weight is zero here: a fresh
 * model's zero gates would hide what stands behind them.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Compiled, compile } from "../../src/compile/compile.js";
import { differentiate } from "../../src/passes/differentiate.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { inputsOf, runEntry } from "../gpu/model-inputs.js";
import { distance, strays } from "../strays.js";

const batch = 1;
let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

test.each(["dit", "mlp", "vit"])("models/%s.graph.ts", async (name) => {
  const entries = ["forward", "loss_and_grad"];
  const options = { preset: "tiny", batch, entries };
  const fused = await compile(`models/${name}.graph.ts`, options);
  const plain = await compile(`models/${name}.graph.ts`, { ...options, fused: false, safe: true });
  const reference = differentiate.run(fused.graph, {});
  for (const [i, entry] of entries.entries()) {
    const dispatches = ({ report }: Compiled) => report.entries[i]!.dispatches;
    expect(dispatches(fused)).toBeLessThan(dispatches(plain));

    const values = inputsOf(fused, entry, batch);
    const expected = strays(reference, entry, values, batch);
    const run = (compiled: Compiled) => runEntry(compiled, entry, values, dawn.device, batch);
    const [got, other] = [await run(fused), await run(plain)];
    expect(Object.keys(got).sort()).toEqual([...expected.keys()].sort());
    for (const [result, { exact, bound }] of expected) {
      const what = `${entry}, ${result}`;
      expect(distance(got[result]!, exact.data), `${what}, fused`).toBeLessThanOrEqual(bound);
      expect(distance(other[result]!, exact.data), `${what}, one op a kernel`).toBeLessThanOrEqual(bound);
      expect(distance(got[result]!, other[result]!), `${what}, fused beside one op a kernel`).toBeLessThanOrEqual(bound);
    }
  }
});
