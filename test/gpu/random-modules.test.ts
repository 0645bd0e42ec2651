/**
 * Random modules on this adapter, as a fused program and with one op a kernel in the naive form: both must be the f64 results of the
 * module as it was made, and each other's, as far as f32 can tell (test/strays.ts). DIT_LAWS_SEED=… DIT_LAWS_COUNT=… choose others.
 * The naive form has no subgroups, so it runs where the project stands for its driver.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Fn, Module } from "../../src/ir/graph.js";
import { printModule } from "../../src/ir/print.js";
import { passes } from "../../src/passes/index.js";
import { pipeline } from "../../src/passes/pass.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { holdsHalves, randomModule } from "../laws/random-module.js";
import { distance, strays } from "../strays.js";
import { runModule } from "./run-module.js";
import { whole } from "./sample.js";

const seed = Number(process.env.DIT_LAWS_SEED ?? 1);
const count = Number(process.env.DIT_LAWS_COUNT ?? 5);

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

/** The module as an entry that takes all it needs as inputs; undefined when it holds f16, which no kernel stores. */
function entry(module: Module): Module | undefined {
  if (holdsHalves(module)) return undefined;
  const [fn] = module.fns;
  const { params, nodes, results } = fn as Fn;
  const inputs = params.map((p) => ({ ...p, kind: "input" as const }));
  const outputs = results.map((r, i) => ({ ...r, name: `out.${i}` }));
  return { stage: "graph", fns: [{ name: "main", params: inputs, nodes, results: outputs }] };
}

const cases = Array.from({ length: 4 * count }, (_, i) => randomModule(seed + i))
  .flatMap((c) => {
    const module = entry(c.module);
    return module ? [{ ...c, module }] : [];
  })
  .slice(0, count);

test.each(cases)("seed $seed", async ({ module, inputs, batch }) => {
  const values = new Map(
    [...inputs].map(([name, { shape, data }]) => [name, { shape, data: Float64Array.from(data, Math.fround) }]),
  );
  const expected = strays(module, "main", values, batch);
  const lowered = (fused: boolean) => pipeline(passes, module, { options: { fused, differentiated: true } });
  const fused = await runModule(lowered(true), values, dawn, { batch });
  const plain = whole ? await runModule(lowered(false), values, dawn, { batch, safe: true }) : undefined;
  for (const [name, { exact, bound }] of expected) {
    const text = () => `${name}\n${printModule(module)}`;
    const most = exact.type.dtype === "f32" ? bound : 0;
    expect(distance(fused[name]!, exact.data), `fused, ${text()}`).toBeLessThanOrEqual(most);
    if (plain === undefined) continue;
    expect(distance(plain[name]!, exact.data), `one op a kernel, ${text()}`).toBeLessThanOrEqual(most);
    expect(distance(fused[name]!, plain[name]!), `fused beside one op a kernel, ${text()}`).toBeLessThanOrEqual(most);
  }
});
