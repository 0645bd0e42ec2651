/**
 * Which values to compute again: a way from none at all to as little memory as there is, one value after the other, each time the one
 * that frees the most bytes for its work.
 *
 * What counts is the memory above a mark a little below the present peak, summed over all nodes: a value helps when it is gone from the
 * nodes where memory is short, also where another node stays as bad as it was; the peak itself never rises. So the elementwise ends of products and the
 * norms go first, products next, and the inputs of blocks stay unless going without them helps. When nothing helps at a mark, a nearer
 * one is tried; the way ends when none is left. It does not depend on the budget: a smaller one is further along the same way.
 */
import { costOfNode } from "../../ir/cost.js";
import type { Fn, Module, Node } from "../../ir/graph.js";
import { REGION } from "../../ir/region.js";
import { evaluate } from "../../program/size.js";
import { bodiesOf, computedAgain, type Recomputation } from "./index.js";
import { gradientReaders, type Live, liveBytes } from "./live.js";
import { tailOf } from "./tail.js";

export interface Choice {
  readonly recomputation: Recomputation;
  /** The most bytes of the function's values that are alive at one node, by the model of live.ts. */
  readonly bytes: number;
  /** Operations added, at the batch. */
  readonly work: number;
}

interface Candidate {
  readonly values: readonly (readonly [number, number])[];
  gain: number;
}

/** The first mark's distance from the peak, and the distance at which the search ends, as shares of the peak. */
const FAR = 0.1;
const NEAR = 0.001;

/** The whole way, beginning with no value at all. */
export function choices(module: Module, fn: Fn, batch: number): readonly Choice[] {
  const bodies = bodiesOf(module);
  const gradients = gradientReaders(module);
  const work = workOf(module, batch);
  const start = liveBytes(fn, batch, gradients);
  const peak = Math.max(0, ...start.bytes);
  const from = start.bytes.indexOf(peak) + 1;
  const tried = (values: Recomputation["values"]) => {
    const made = computedAgain(bodies, fn, { from, values });
    const { bytes } = liveBytes(made.fn, batch, gradients);
    return { values, bytes, work: made.again.reduce((n, node) => n + work(node, made.bodies), 0) };
  };
  let now = { values: [] as Recomputation["values"], bytes: start.bytes, work: 0 };
  const way: Choice[] = [{ recomputation: { from, values: [] }, bytes: peak, work: 0 }];
  const open = candidates(fn, from, start, bodies);
  let share = FAR;
  while (open.length > 0 && share > NEAR) {
    const top = Math.max(...now.bytes);
    const mark = top * (1 - share);
    const above = excess(now.bytes, mark);
    const measure = (c: Candidate) => {
      const then = tried(merged(now.values, c.values));
      const gain = (above - excess(then.bytes, mark)) / Math.max(1, then.work - now.work);
      c.gain = Math.max(...then.bytes) > top ? 0 : gain;
      return then;
    };
    const taken = best(open, measure);
    if (!taken) {
      share /= 2;
      for (const c of open) c.gain = Number.POSITIVE_INFINITY;
      continue;
    }
    now = taken;
    way.push({ recomputation: { from, values: now.values }, bytes: Math.max(...now.bytes), work: now.work });
  }
  return way;
}

/** Takes out the candidate of the largest gain. Gains of before are held to be no smaller than now, so that few are measured again. */
function best<T>(open: Candidate[], measure: (c: Candidate) => T): T | undefined {
  const fresh = new Map<Candidate, T>();
  for (;;) {
    const first = open.reduce((a, b) => (b.gain > a.gain ? b : a));
    if (first.gain <= 0 && fresh.size === open.length) return undefined;
    const known = fresh.get(first);
    if (known !== undefined && first.gain > 0) {
      open.splice(open.indexOf(first), 1);
      return known;
    }
    // Nothing promises a gain: what has not been looked at in this round may have one by now.
    const next = known === undefined ? first : open.find((c) => !fresh.has(c))!;
    fresh.set(next, measure(next));
  }
}

const excess = (bytes: readonly number[], mark: number): number => bytes.reduce((sum, n) => sum + Math.max(0, n - mark), 0);

function merged(a: Recomputation["values"], b: Recomputation["values"]): Recomputation["values"] {
  const all = [...a, ...b.filter(([node, output]) => !a.some((v) => v[0] === node && v[1] === output))];
  return all.sort((x, y) => x[0] - y[0] || x[1] - y[1]);
}

/** Regions before `from` with results that are kept for later: the results that follow from the others, and all of them. */
function candidates(fn: Fn, from: number, live: Live, bodies: ReadonlyMap<string, Fn>): Candidate[] {
  const joined = new Set(fn.nodes.filter((n) => n.op === "concat").map((n) => live.storage(n.outputs[0]!)));
  const found: Candidate[] = [];
  fn.nodes.slice(0, from).forEach((node, i) => {
    if (node.op !== REGION) return;
    const kept = node.outputs.flatMap((v, k) => {
      const storage = live.storage(v);
      return (live.life.get(storage)?.[1] ?? -1) >= from && !joined.has(storage) ? [k] : [];
    });
    if (kept.length === 0) return;
    const add = (outputs: readonly number[]) =>
      found.push({ values: outputs.map((k) => [i, k] as const), gain: Number.POSITIVE_INFINITY });
    const body = bodies.get(String(node.attrs.body))!;
    const tail = kept.filter((k) => tailOf(body, [k]));
    if (tail.length > 0 && tail.length < kept.length && tailOf(body, tail)) add(tail);
    add(kept);
  });
  return found;
}

/** Operations of a region at the batch; a body's are counted once. */
export function workOf(module: Module, batch: number): (node: Node, bodies?: readonly Fn[]) => number {
  const known = new Map<string, number>();
  return (node, bodies = []) => {
    const name = String(node.attrs.body);
    const before = known.get(name);
    if (before !== undefined) return before;
    const own = bodies.find((body) => body.name === name);
    const cost = costOfNode(own ? { ...module, fns: [own] } : module, node).flops;
    const work = evaluate(cost, batch);
    known.set(name, work);
    return work;
  };
}
