/**
 * How far f32 may stray from the exact results of a graph, found by letting it stray: the reference runs again and again with every
 * stored number moved at random by up to one unit in the last place (Monte Carlo arithmetic, Parker 1997). That is twice what a correct
 * rounding moves it, because WGSL allows exp, log, division and roots a few units. A driver, another order of sums or a fused kernel
 * rounds as often, elsewhere: its result is one more throw of the same dice.
 *
 * The bound is four times the worst of eight throws, element by element over the tensor's largest magnitude. The errors are sums of many
 * small independent ones, so nearly normal, and the ninth of nine is four times the largest other with a probability of 3e-4 even when the
 * tensor has one element and the dice are fair; they are twice too wild, which takes that below 1e-5.
 */
import { type DenseInput, evaluate } from "../src/ir/eval.js";
import type { Module } from "../src/ir/graph.js";
import type { Dense } from "../src/ir/ops/op.js";

const THROWS = 8;
const SLACK = 4;
const ULP = 2 ** -23;

export interface Stray {
  /** In f64. */
  readonly exact: Dense;
  /** Largest difference from `exact` that rounding explains. */
  readonly bound: number;
}

/** Every f32 result of a function by name, with its bound. Decisions (integers, bools) are not moved. */
export function strays(module: Module, fn: string, inputs: ReadonlyMap<string, DenseInput>, batch: number): Map<string, Stray> {
  const exact = evaluate(module, fn, inputs, { batch, precision: "f64" });
  const worst = new Map([...exact.keys()].map((name) => [name, 0]));
  for (let seed = 1; seed <= THROWS; seed++) {
    const thrown = evaluate(module, fn, inputs, { batch, precision: dice(seed) });
    for (const [name, { data }] of thrown) worst.set(name, Math.max(worst.get(name)!, distance(data, exact.get(name)!.data)));
  }
  return new Map(
    [...exact].map(([name, dense]) => [name, { exact: dense, bound: SLACK * worst.get(name)! + ULP * largest(dense.data) }]),
  );
}

/** The largest difference of two tensors; infinite when one is not finite where the other is. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < b.length; i++) {
    const d = Object.is(a[i], b[i]) ? 0 : Math.abs(a[i]! - b[i]!);
    if (!(d <= most)) most = Number.isNaN(d) ? Number.POSITIVE_INFINITY : d;
  }
  return most;
}

const largest = (data: ArrayLike<number>): number => Array.from(data).reduce((m, x) => Math.max(m, Math.abs(x)), 0);

/** Moves a number by a random part of one unit in the last place, the same for the same seed. */
function dice(seed: number): (x: number) => number {
  let state = seed;
  return (x) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return x * (1 + ULP * (state / 2 ** 31 - 1));
  };
}
