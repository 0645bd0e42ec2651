/** Makes a failing random case small: drops results and the nodes that make them, and turns values into inputs that hold what was computed for them. */
import { type DenseInput, evaluate } from "../../src/ir/eval.js";
import { type Fn, type Node, producers, type Value } from "../../src/ir/graph.js";
import { dce } from "../../src/passes/dce.js";
import type { RandomCase } from "./random-module.js";

export function shrink(found: RandomCase, fails: (candidate: RandomCase) => boolean): RandomCase {
  for (let best = found; ; ) {
    const smaller = candidates(best).find(fails);
    if (!smaller) return best;
    best = smaller;
  }
}

const only = (c: RandomCase): Fn => c.module.fns[0]!;
const withFn = (c: RandomCase, fn: Fn, inputs = c.inputs): RandomCase => ({ ...c, inputs, module: { ...c.module, fns: [fn] } });

function* all(c: RandomCase): Generator<RandomCase> {
  const fn = only(c);
  if (fn.results.length > 1) {
    for (const r of fn.results) yield withFn(c, { ...fn, results: [r] });
    for (const r of fn.results) yield withFn(c, { ...fn, results: fn.results.filter((other) => other !== r) });
  }
  const makers = producers(fn);
  for (const r of fn.results) {
    for (const value of makers.get(r.value)?.inputs ?? []) yield withFn(c, { ...fn, results: [{ name: r.name, value }] });
  }
  const live = dce.run(c.module, {});
  if (live !== c.module) yield withFn(c, live.fns[0]!);
  const read = new Set<Value>([...fn.nodes.flatMap((n) => n.inputs), ...fn.results.map((r) => r.value)]);
  const params = fn.params.filter((p) => read.has(p.value));
  if (params.length < fn.params.length) yield withFn(c, { ...fn, params });
  const held = new Map<Value, DenseInput>();
  const trace = (node: Node, outputs: readonly DenseInput[]): void => {
    node.outputs.forEach((v, i) => {
      held.set(v, outputs[i]!);
    });
  };
  evaluate(c.module, fn.name, c.inputs, { batch: c.batch, precision: "f64", trace });
  for (const node of fn.nodes.toReversed()) {
    const given = node.outputs.map((value, i) => ({ name: `given.${c.inputs.size}.${i}`, kind: "input" as const, value }));
    const inputs = new Map([...c.inputs, ...given.map((p) => [p.name, held.get(p.value)!] as const)]);
    yield withFn(c, { ...fn, params: [...fn.params, ...given], nodes: fn.nodes.filter((n) => n !== node) }, inputs);
  }
}

const candidates = (c: RandomCase): RandomCase[] => [...all(c)];
