/**
 * Random graph modules for the laws of the passes: every op of the table occurs, on shapes with the batch in them, and every value is
 * computed while the module grows, so that numbers stay small and no decision hangs on a rounding error. One seed, one module.
 */
import { Builder } from "../../src/ir/builder.js";
import { type DenseInput, runOp } from "../../src/ir/eval.js";
import type { Attrs, Module, Node, ParamKind, Value } from "../../src/ir/graph.js";
import { opTable } from "../../src/ir/ops/index.js";
import type { Dense } from "../../src/ir/ops/op.js";
import { type TensorType, tensorType } from "../../src/ir/types.js";
import { normalTable } from "../../src/program/random.js";
import { B, type Size, evaluate as sizeAt } from "../../src/program/size.js";
import { randomDense, randomOf } from "../ir/samples.js";
import { idioms, patterns } from "./idioms.js";
import { proposals } from "./proposals.js";

export interface RandomCase {
  readonly seed: number;
  readonly batch: number;
  readonly module: Module;
  readonly inputs: ReadonlyMap<string, DenseInput>;
}

/** How often each op occurred, over all modules made with these counters. */
/** Whether anything of it is f16, which no kernel computes in. */
export const holdsHalves = ({ fns }: Module): boolean =>
  fns.some(({ params, nodes }) =>
    [...params.map((p) => p.value), ...nodes.flatMap((n) => n.outputs)].some((v) => v.type.dtype === "f16"),
  );

export type Counters = Map<string, number>;

const maxElements = 400;
const maxSize = 1000;

/** Thrown by a proposal that does not work out; the grower then tries another. */
export class NoWay extends Error {}

/** A function under construction: its builder, the numbers that its values hold, and dice. */
export class Grower {
  readonly builder = new Builder();
  readonly batch: number;
  readonly inputs = new Map<string, DenseInput>();
  /** Values that operands are picked from. */
  readonly pool: Value[] = [];
  readonly held = new Map<Value, Dense>();
  readonly seeds: Value[];
  readonly random: () => number;
  private table: Value | undefined;
  private fresh = 0;

  constructor(seed: number) {
    this.random = randomOf(seed);
    this.batch = 1 + this.below(3);
    this.seeds = [
      this.param("seed", tensorType("u32", [], []), [0, 1000]),
      this.param("step", tensorType("i32", [], []), [0, 1000]),
      this.param("first", tensorType("i32", [], []), [0, 1000]),
    ];
    const sizes: Readonly<Record<string, Size>> = { batch: B, token: 3, c: 4, head: 2, key: 3, "odd name": 1, w: 6 };
    const names = Object.keys(sizes);
    for (let i = 0; i < 6; i++) {
      const axes = this.shuffled(names).slice(0, this.below(4));
      const dtype = i < 4 ? "f32" : i === 4 ? "i32" : "bool";
      const type = tensorType(
        dtype,
        axes,
        axes.map((name) => sizes[name]!),
      );
      this.pool.push(
        this.param(i === 1 ? "blocks.0 weight" : `x${i}`, type, dtype === "f32" ? [-2, 2] : dtype === "bool" ? [0, 2] : [-1, 5]),
      );
    }
  }

  below = (n: number): number => Math.floor(this.random() * n);
  chance = (p: number): boolean => this.random() < p;
  pick = <T>(list: readonly T[]): T => (list.length > 0 ? list[this.below(list.length)]! : this.no());
  no = (): never => {
    throw new NoWay();
  };
  shuffled = <T>(list: readonly T[]): T[] =>
    list
      .map((x) => [this.random(), x] as const)
      .sort((a, b) => a[0] - b[0])
      .map(([, x]) => x);
  /** An axis name that `used` does not have: a new one, or one that other values have. */
  axis = (used: readonly string[]): string => {
    const known = this.pool.flatMap((v) => v.type.axes).filter((name) => !used.includes(name));
    return known.length > 0 && this.chance(0.4) ? this.pick(known) : `n${this.fresh++}`;
  };
  /** A random value for which `fits` holds. */
  value = (fits: (v: Value) => boolean): Value => this.pick(this.pool.filter(fits));
  data = (v: Value): Float64Array => this.held.get(v)!.data;
  most = (v: Value): number => this.data(v).reduce((m, x) => Math.max(m, Math.abs(x)), 0);

  /** The table that normal draws read; made once, and no operand of anything else. */
  normals(): Value {
    const table = normalTable();
    this.table ??= this.param("normals", tensorType("i32", ["entry"], [table.length]), [0, 1], Float64Array.from(table));
    return this.table;
  }

  /** Appends a node and computes it; gives up when the op refuses it, when it is too big, or when its numbers are. */
  emit(op: string, inputs: readonly Value[], attrs: Attrs = {}): Value {
    const inferred = opTable.get(op)!.infer(
      inputs.map((v) => v.type),
      attrs as never,
    );
    if (typeof inferred === "string") return this.no();
    const types = "dtype" in inferred ? [inferred] : inferred;
    if (types.some((type) => type.axes.length > 5 || this.elements(type) > maxElements)) return this.no();
    const name = this.chance(0.5) ? this.pick(["a", "b", "h.1", "h", "mean"]) : undefined;
    const node: Node = {
      op,
      inputs,
      attrs,
      outputs: types.map((type, i) => (name && i === 0 ? { type, name } : { type })),
      ...(this.chance(0.3) ? { loc: { file: "dit.graph.ts", line: 1 + this.below(90), column: 1 + this.below(30) } } : {}),
    };
    const operands = inputs.map((v) => this.held.get(v)!);
    const made = runOp(node, operands, { batch: this.batch, precision: "f64" });
    const fits = (x: number, i: number) => Math.abs(x) <= maxSize || (types[i]!.dtype === "i32" && Number.isInteger(x));
    if (!made.every(({ data }, i) => data.every((x) => fits(x, i)))) return this.no();
    this.builder.nodes.push(node);
    node.outputs.forEach((out, i) => {
      this.held.set(out, made[i]!);
      this.pool.push(out);
    });
    return node.outputs[0]!;
  }

  elements = (type: TensorType): number => type.shape.reduce((n: number, size) => n * sizeAt(size, this.batch), 1);

  /** A new weight, that nothing but its maker reads. */
  weight = (type: TensorType): Value => this.param(`w${this.fresh++}`, type, [-1, 1], undefined, "parameter");

  private param(
    name: string,
    type: TensorType,
    domain: readonly [number, number],
    data?: Float64Array,
    kind: ParamKind = this.pick(["input", "parameter", "constant"] as const),
  ): Value {
    const value = this.builder.param(name, kind, type);
    const shape = type.shape.map((size) => sizeAt(size, this.batch));
    const dense = data ? { shape, data } : randomDense({ ...type, shape }, domain, this.random);
    this.inputs.set(name, dense);
    this.held.set(value, { ...dense, data: Float64Array.from(dense.data), type });
    return value;
  }
}

export function randomModule(seed: number, counters: Counters = new Map()): RandomCase {
  const g = new Grower(seed);
  const count = 10 + g.below(25);
  for (let tries = 0; g.builder.nodes.length < count && tries < 400; tries++) {
    const before = g.builder.nodes.length;
    try {
      grow(g, counters);
    } catch (error) {
      if (!(error instanceof NoWay)) throw error;
      // What was prepared for the failed node stays: it is legal, only unread.
    }
    for (const node of g.builder.nodes.slice(before)) counters.set(node.op, (counters.get(node.op) ?? 0) + 1);
  }
  return { seed, batch: g.batch, inputs: g.inputs, module: { stage: "graph", fns: [g.builder.finish("main", results(g))] } };
}

/** One more node: now and then one that is there already, or a pair that rules look for, else of an op that has been rare so far. */
function grow(g: Grower, counters: Counters): void {
  if (g.chance(0.08) && g.builder.nodes.length > 0) {
    const node = g.pick(g.builder.nodes);
    g.emit(node.op, node.inputs, node.attrs);
    return;
  }
  if (g.chance(0.15)) {
    g.pick(g.chance(0.25) ? patterns : idioms)(g);
    return;
  }
  const three = [0, 1, 2].map(() => g.pick([...opTable.keys()]));
  const op = three.sort((a, b) => (counters.get(a) ?? 0) - (counters.get(b) ?? 0))[0]!;
  const propose = proposals(op);
  if (!propose) throw new Error(`test/laws/proposals.ts does not know how to use "${op}"`);
  propose(g);
}

/** Most of what nobody reads, a few others, and sometimes the next value of a parameter. */
function results(g: Grower): { name: string; value: Value }[] {
  const read = new Set(g.builder.nodes.flatMap((node) => node.inputs));
  const made = g.builder.nodes.flatMap((node) => node.outputs);
  const chosen = made.filter((v) => (read.has(v) ? g.chance(0.05) : g.chance(0.7)));
  if (chosen.length === 0) chosen.push(made.at(-1) ?? g.pool[0]!);
  const list = chosen.map((value, i) => ({ name: i === 0 ? "first result" : `out.${i}`, value }));
  const state = g.builder.params.find((p) => p.name === "x0")!;
  const next = g.pool.find((v) => v !== state.value && JSON.stringify(v.type) === JSON.stringify(state.value.type));
  return next ? [...list, { name: state.name, value: next }] : list;
}
