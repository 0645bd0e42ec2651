/**
 * The laws of recompute on random modules: whatever is chosen, from whatever node on, the results are the same bits, the module is legal
 * and prints and parses; what the search offers takes less and less work to keep, by its own model. DIT_LAWS_SEED=… repeats a run.
 */
import { expect, test } from "vitest";
import { evaluate } from "../../src/ir/eval.js";
import type { Module } from "../../src/ir/graph.js";
import { parseModule } from "../../src/ir/parse.js";
import { printModule } from "../../src/ir/print.js";
import { REGION } from "../../src/ir/region.js";
import { sameModule } from "../../src/ir/same.js";
import { verify } from "../../src/ir/verify.js";
import { passes } from "../../src/passes/index.js";
import { pipeline } from "../../src/passes/pass.js";
import { choices } from "../../src/passes/recompute/choose.js";
import { type Recomputation, recompute } from "../../src/passes/recompute/index.js";
import { randomOf } from "../ir/samples.js";
import { holdsHalves, randomModule } from "./random-module.js";

const seed = Number(process.env.DIT_LAWS_SEED ?? Date.now() % 1_000_000_007);
const count = Number(process.env.DIT_LAWS_COUNT ?? 100);
console.log(`laws: ${count} modules, DIT_LAWS_SEED=${seed}`);
const cases = Array.from({ length: count }, (_, i) => randomModule(seed + i, new Map()))
  .filter((c) => !holdsHalves(c.module))
  .map((c) => ({ ...c, module: pipeline(passes, c.module, { options: { differentiated: true } }) }));
type Case = (typeof cases)[number];

function check(c: Case, choice: Recomputation): Module {
  const after = recompute.run(c.module, { recompute: { main: choice } });
  verify(after, "kernel", `DIT_LAWS_SEED=${c.seed}, after recompute`);
  expect(sameModule(parseModule(printModule(after)), after)).toBe(true);
  const run = (module: Module) => evaluate(module, "main", c.inputs, { batch: c.batch, precision: "f64" });
  const [wanted, found] = [run(c.module), run(after)];
  for (const [name, { data }] of wanted) expect(found.get(name)!.data, `DIT_LAWS_SEED=${c.seed} ${name}`).toEqual(data);
  return after;
}

test("any values, from any node on", () => {
  let changed = 0;
  for (const c of cases) {
    const { nodes } = c.module.fns.find((fn) => fn.name === "main")!;
    const random = randomOf(c.seed);
    const from = Math.floor(random() * (nodes.length + 1));
    const all = nodes
      .slice(0, from)
      .flatMap((node, i) => (node.op === REGION ? node.outputs.map((_, k) => [i, k] as const) : []));
    if (check(c, { from, values: all.filter(() => random() < 0.6) }) !== c.module) changed++;
  }
  expect(changed).toBeGreaterThan(count / 10);
});

test("what the search offers: less memory for more work", () => {
  let ways = 0;
  for (const c of cases) {
    const way = choices(c.module, c.module.fns.find((fn) => fn.name === "main")!, c.batch);
    expect(way[0]!.recomputation.values).toEqual([]);
    if (way.length === 1) continue;
    ways++;
    check(c, way.at(-1)!.recomputation);
    expect(way.at(-1)!.bytes, `DIT_LAWS_SEED=${c.seed}`).toBeLessThanOrEqual(way[0]!.bytes);
  }
  expect(ways).toBeGreaterThan(0);
});
