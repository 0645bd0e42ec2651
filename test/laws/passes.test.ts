/**
 * The laws of the passes, on random modules: a pass changes no result, its output is legal and prints and parses, and simplify, cse and
 * dce have nothing left to do after themselves. DIT_LAWS_SEED=… repeats a run, DIT_LAWS_COUNT=… makes it longer.
 */
import { describe, expect, test } from "vitest";
import { evaluate } from "../../src/ir/eval.js";
import type { Module } from "../../src/ir/graph.js";
import { opTable } from "../../src/ir/ops/index.js";
import { parseModule } from "../../src/ir/parse.js";
import { printModule } from "../../src/ir/print.js";
import { sameModule } from "../../src/ir/same.js";
import { verify } from "../../src/ir/verify.js";
import { dce } from "../../src/passes/dce.js";
import { passes } from "../../src/passes/index.js";
import { type Pass, pipeline } from "../../src/passes/pass.js";
import { rules, simplify } from "../../src/passes/simplify/index.js";
import { type Counters, holdsHalves, type RandomCase, randomModule } from "./random-module.js";
import { shrink } from "./shrink.js";

const seed = Number(process.env.DIT_LAWS_SEED ?? Date.now() % 1_000_000_007);
const count = Number(process.env.DIT_LAWS_COUNT ?? 200);
const idempotent = ["simplify", "cse", "dce"];

console.log(`laws: ${count} modules, DIT_LAWS_SEED=${seed}`);
const counters: Counters = new Map();
const cases = Array.from({ length: count }, (_, i) => randomModule(seed + i, counters));

/** What is wrong with `after` as another form of the case, or undefined. */
function difference(c: RandomCase, after: Module): string | undefined {
  const run = (module: Module) => evaluate(module, "main", c.inputs, { batch: c.batch, precision: "f64" });
  const [wanted, found] = [run(c.module), run(after)];
  for (const [name, { data, shape }] of wanted) {
    const other = found.get(name);
    if (!other || String(other.shape) !== String(shape)) return `result "${name}" has another shape`;
    const scale = data.reduce((m, x) => Math.max(m, Math.abs(x)), 1);
    const at = data.findIndex((x, i) => !(Math.abs(x - other.data[i]!) <= 1e-9 * scale));
    if (at >= 0) return `result "${name}"[${at}] is ${other.data[at]}, was ${data[at]}`;
  }
  return undefined;
}

/** The rule that a case breaks under a pass, or undefined. */
function broken(c: RandomCase, pass: Pass): string | undefined {
  try {
    if ((pass.name === "fuse" || pass.name === "pipeline") && holdsHalves(c.module)) return undefined;
    // fuse makes no kernel without a result: dce has always run before it.
    const module = pass.name === "fuse" ? dce.run(c.module, {}) : c.module;
    const before = printModule(module);
    const after = pass.run(module, {});
    if (printModule(module) !== before) return "the pass changed its input";
    verify(after, after.stage, `after ${pass.name}`);
    if (!sameModule(parseModule(printModule(after)), after)) return "its output does not print and parse to itself";
    if (idempotent.includes(pass.name) && pass.run(after, {}) !== after) return "it is not done after one run";
    return difference(c, after);
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

/** Fails with the smallest module that breaks the rule the same way. */
function report(c: RandomCase, problem: string, check: (c: RandomCase) => string | undefined): never {
  const small = shrink(c, (candidate) => check(candidate) !== undefined);
  throw new Error(
    `DIT_LAWS_SEED=${c.seed} DIT_LAWS_COUNT=1: ${problem}\nshrunk (${check(small)}):\n${printModule(small.module)}`,
  );
}

/** How often each rule of simplify applied. */
const fired = new Map<string, number>();
for (const rule of rules) {
  const { apply } = rule;
  Object.assign(rule, {
    apply: (...args: Parameters<typeof apply>) => {
      const value = apply(...args);
      if (value) fired.set(rule.name, (fired.get(rule.name) ?? 0) + 1);
      return value;
    },
  });
}

describe("random modules", () => {
  test("are legal, and print and parse to themselves", () => {
    for (const c of cases) {
      verify(c.module);
      const text = printModule(c.module);
      const again = parseModule(text);
      expect(sameModule(again, c.module), text).toBe(true);
      expect(printModule(again)).toBe(text);
    }
  });

  test.skipIf(count < 200)("use every op", () => {
    for (const op of opTable.keys()) expect(counters.get(op) ?? 0, op).toBeGreaterThanOrEqual(20);
  });
});

describe.each(passes.map((pass) => [pass.name, pass] as const))("%s", (_name, pass) => {
  test("keeps every result", () => {
    for (const c of cases) {
      const problem = broken(c, pass);
      if (problem) report(c, problem, (other) => broken(other, pass));
    }
  });

  test("does something", () => {
    if (pass.name.startsWith("raise-") || pass.name === "batch-dots")
      expect(cases.some((c) => pass.run(c.module, {}) !== c.module) || count < 200).toBe(true);
    if (!idempotent.includes(pass.name)) return;
    expect(cases.filter((c) => pass.run(c.module, {}) !== c.module).length).toBeGreaterThan(count / 10);
  });
});

// On fixed seeds: whether dice throw a rare pair often enough must not fail a run now and then.
test("every rule of simplify applies somewhere", () => {
  const dice: Counters = new Map();
  fired.clear();
  for (let i = 0; i < 200; i++) simplify.run(randomModule(i, dice).module, { differentiated: true });
  expect(rules.map((rule) => rule.name).filter((name) => !fired.has(name))).toEqual([]);
});

// Both against the module as it was made, so against each other too.
test.each([
  ["fused", { fused: true }],
  ["one op a kernel", { fused: false }],
  ["stored in f16", { narrow: true }],
] as const)("all passes in order keep every result, %s", (_name, chosen) => {
  const options = { ...chosen, differentiated: true };
  const whole: Pass = { name: "pipeline", doc: "", run: (module) => pipeline(passes, module, { options }) };
  for (const c of cases) {
    const problem = broken(c, whole);
    if (problem) report(c, problem, (other) => broken(other, whole));
  }
});

test("a broken pass is caught and the case shrunk", () => {
  const wrong: Pass = {
    name: "wrong",
    doc: "Turns every add into sub.",
    run: (m) => ({
      ...m,
      fns: m.fns.map((fn) => ({ ...fn, nodes: fn.nodes.map((n) => (n.op === "add" ? { ...n, op: "sub" } : n)) })),
    }),
  };
  const bad = cases.find((c) => broken(c, wrong));
  expect(bad).toBeDefined();
  const small = shrink(bad!, (c) => broken(c, wrong) !== undefined);
  expect(small.module.fns[0]!.nodes.length, printModule(small.module)).toBe(1);
});
