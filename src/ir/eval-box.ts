/**
 * A few numbers of what a function computes, from the few numbers that they depend on: each op looks at boxes of its operands (boxes.ts)
 * and is computed by its own rule of the table, as evaluate() does with whole tensors. What a parameter holds is asked for when it is
 * needed, so tensors of any size may lie anywhere.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import { type Box, neededFor, type Shaped } from "./boxes.js";
import { concreteShape, type EvalOptions, roundingOf } from "./eval.js";
import { type Fn, type Node, producers, type Value } from "./graph.js";
import { opRow } from "./ops/index.js";
import type { Dense } from "./ops/op.js";
import { gatherStrided, stridesOf } from "./ops/shape.js";

/** The numbers of a box of parameter number `param`, row-major. */
export type ReadBox = (param: number, box: Box) => Promise<Float64Array>;

/** Parts that were computed are kept, for whoever asks for them again, up to so many numbers; those asked for last stay longest. */
const MOST_KEPT = 1 << 22;

export class BoxEvaluator {
  private readonly made: ReadonlyMap<Value, Node>;
  private readonly params: ReadonlyMap<Value, number>;
  private readonly numbers = new Map<Value, number>();
  /** By value and box, the one asked for last at the end. */
  private readonly kept = new Map<string, { readonly size: number; readonly numbers: Promise<Float64Array> }>();
  private keptNumbers = 0;

  /** `fn` has ops of the table alone: the body of a region, say. */
  constructor(
    private readonly fn: Fn,
    private readonly read: ReadBox,
    private readonly options: Omit<EvalOptions, "trace">,
  ) {
    this.made = producers(fn);
    this.params = new Map(fn.params.map(({ value }, i) => [value, i]));
  }

  /** The numbers of a box of result number `result`, row-major. */
  result(result: number, box: Box): Promise<Float64Array> {
    return this.value(this.fn.results[result]!.value, box);
  }

  private async value(v: Value, box: Box): Promise<Float64Array> {
    if (count(box) === 0) return new Float64Array(0);
    const number = this.numbers.get(v) ?? this.numbers.size;
    this.numbers.set(v, number);
    const key = `${number} ${box.map(({ from, size }) => `${from}+${size}`).join()}`;
    const size = count(box);
    const known = this.kept.get(key);
    if (known) this.kept.delete(key);
    else this.keptNumbers += size;
    const entry = known ?? { size, numbers: this.compute(v, box) };
    this.kept.set(key, entry);
    for (const [old, { size: freed }] of this.kept) {
      if (this.keptNumbers <= MOST_KEPT || old === key) break;
      this.kept.delete(old);
      this.keptNumbers -= freed;
    }
    return entry.numbers;
  }

  private async compute(v: Value, box: Box): Promise<Float64Array> {
    const param = this.params.get(v);
    // What is stored is rounded already, and is not rounded again.
    if (param !== undefined) return this.read(param, box);
    const node = this.made.get(v);
    if (!node) throw new InternalError(`@${this.fn.name} reads a value that nothing makes`);
    const output = node.outputs.indexOf(v);
    const [inputs, results] = [node.inputs.map((x) => this.shaped(x)), node.outputs.map((x) => this.shaped(x))];
    const { gives, looks, attrs } = neededFor(node, output, box, inputs, results);
    // What is computed around the box is kept: the next box may lie in it, too.
    if (!sameBox(gives, box)) return cut(await this.value(v, gives), gives, box);
    if (node.op === "iota") return this.iota(node, box);
    const operands: Dense[] = [];
    for (const [i, x] of node.inputs.entries()) {
      const look = looks[i];
      if (look) operands.push({ type: x.type, shape: look.map(({ size }) => size), data: await this.value(x, look) });
    }
    // Of a node with several results the others have the spans that they share with this one.
    const { axes } = results[output]!;
    const shapes = results.map((r) =>
      r.axes.map((name, i) => gives[axes.indexOf(name)]?.size ?? partOf(node, operands, name) ?? r.shape[i]!),
    );
    const round = roundingOf(node.outputs[0]!.type.dtype, this.options.precision);
    const outputs = node.outputs.map((x) => x.type);
    return opRow(node.op).eval(operands, (attrs ?? node.attrs) as never, { outputs, shapes, round })[output]!;
  }

  /** Counts from where the box begins. */
  private iota({ attrs, outputs }: Node, box: Box): Float64Array {
    const at = outputs[0]!.type.axes.indexOf(attrs.axis as string);
    const { from, size } = box[at]!;
    return gatherStrided(
      Float64Array.from({ length: size }, (_, i) => from + i),
      box.map((span) => span.size),
      box.map((_, i) => (i === at ? 1 : 0)),
    );
  }

  private shaped({ type }: Value): Shaped {
    return { axes: type.axes, shape: concreteShape(type, this.options.batch) };
  }
}

/** How much of an axis the operands have. */
function partOf({ inputs }: Node, operands: readonly Dense[], name: string): number | undefined {
  const i = inputs.findLastIndex(({ type }) => type.axes.includes(name));
  return operands[i]?.shape[inputs[i]!.type.axes.indexOf(name)];
}

const count = (box: Box): number => box.reduce((n, { size }) => n * size, 1);

const sameBox = (a: Box, b: Box): boolean => a.every(({ from, size }, i) => from === b[i]!.from && size === b[i]!.size);

/** The box `wanted` out of the numbers of the box `given`, which holds it. */
function cut(data: Float64Array, given: Box, wanted: Box): Float64Array {
  const strides = stridesOf(given.map(({ size }) => size));
  const offset = wanted.reduce((at, { from }, i) => at + (from - given[i]!.from) * strides[i]!, 0);
  return gatherStrided(
    data,
    wanted.map(({ size }) => size),
    strides,
    offset,
  );
}
