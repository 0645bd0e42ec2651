/**
 * The CPU reference: runs a function of the IR node by node with the `eval` rules of the op table. Slow and plain on purpose; it is
 * what passes and kernels are compared to. In f32 precision every op's result is rounded as a GPU would store it; integers always
 * wrap at 32 bits.
 */
import { fail, InternalError } from "../diagnostics/diagnostic.js";
import { halfToNumber, numberToHalf } from "../program/half.js";
import { type Size, evaluate as sizeAt } from "../program/size.js";
import { type Fn, findFn, type Module, type Node, type Value } from "./graph.js";
import { opRow } from "./ops/index.js";
import type { Dense } from "./ops/op.js";
import { printType } from "./print.js";
import { bodyOf, GRADIENT, REGION } from "./region.js";
import type { DType, TensorType } from "./types.js";

/** How floats are stored: not rounded at all, as f32, or by a rule of the caller's own. */
export type Precision = "f64" | "f32" | ((x: number) => number);

/** Data handed in: row-major, any array of numbers; bools are 0 and 1. */
export interface DenseInput {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

export interface EvalOptions {
  /** The value of the symbol B. */
  readonly batch: number;
  readonly precision: Precision;
  /** Sees every node of the function (not those inside region bodies) with what it computed. */
  readonly trace?: (node: Node, outputs: readonly Dense[]) => void;
}

/** Results of `fnName` by name. Inputs are looked up by parameter name; extra ones are ignored. */
export function evaluate(
  module: Module,
  fnName: string,
  inputs: ReadonlyMap<string, DenseInput>,
  options: EvalOptions,
): Map<string, Dense> {
  const fn = findFn(module, fnName);
  if (!fn) {
    const known = module.fns.map((f) => `@${f.name}`).join(", ");
    return fail("DIT2201", `there is no function @${fnName}`, { notes: [`the module has ${known || "no functions"}`] });
  }
  const args = fn.params.map((p) => {
    const shape = concreteShape(p.value.type, options.batch);
    const given = inputs.get(p.name);
    if (!given) return fail("DIT2202", `@${fnName}: ${p.kind} "${p.name}" is missing, expected ${describe(p.value.type, shape)}`);
    const same = given.shape.length === shape.length && given.shape.every((n, i) => n === shape[i]);
    const count = shape.reduce((a, n) => a * n, 1);
    if (!same || given.data.length !== count) {
      const found = same ? `${given.data.length} numbers` : `shape [${given.shape.join(", ")}]`;
      return fail("DIT2203", `@${fnName}: ${p.kind} "${p.name}" has ${found}, expected ${describe(p.value.type, shape)}`);
    }
    const round = roundingOf(p.value.type.dtype, options.precision);
    return { type: p.value.type, shape, data: Float64Array.from(given.data, round) };
  });
  return new Map(run(module, fn, args, options).map((dense, i) => [fn.results[i]!.name, dense]));
}

/** The results of `fn` in order. */
function run(module: Module, fn: Fn, args: readonly Dense[], options: EvalOptions): readonly Dense[] {
  const known = new Map<Value, Dense>();
  fn.params.forEach((p, i) => {
    known.set(p.value, args[i]!);
  });
  for (const node of fn.nodes) {
    const inputs = node.inputs.map((v) => known.get(v) ?? missing(fn, node));
    const outputs = node.op === REGION ? runRegion(module, node, inputs, options) : runOp(node, inputs, options);
    node.outputs.forEach((v, i) => {
      known.set(v, outputs[i]!);
    });
    options.trace?.(node, outputs);
  }
  return fn.results.map((r) => known.get(r.value) ?? missing(fn, undefined));
}

/** One node of the op table on its operands. */
export function runOp(node: Node, inputs: readonly Dense[], { batch, precision }: Omit<EvalOptions, "trace">): readonly Dense[] {
  if (node.op === GRADIENT) throw new InternalError("a gradient node cannot be run: differentiate comes first");
  const outputs = node.outputs.map((v) => v.type);
  const shapes = outputs.map((type) => concreteShape(type, batch));
  const round = roundingOf(outputs[0]!.dtype, precision);
  const data = opRow(node.op).eval(inputs, node.attrs as never, { outputs, shapes, round });
  return outputs.map((type, i) => ({ type, shape: shapes[i]!, data: data[i]! }));
}

function runRegion(module: Module, node: Node, inputs: readonly Dense[], { batch, precision }: EvalOptions): readonly Dense[] {
  const body = bodyOf(module, node);
  if (!body) throw new InternalError(`region calls @${String(node.attrs.body)}, which does not exist`);
  const results = run(module, body, inputs, { batch, precision });
  // The caller's type, so that values of a region are told by the axes its readers see.
  return results.map((dense, i) => ({ ...dense, type: node.outputs[i]!.type }));
}

/** How a result of a dtype is stored. f16 is rounded in f32 runs only: f64 runs are free of rounding altogether. */
export function roundingOf(dtype: DType, precision: Precision): (x: number) => number {
  if (dtype === "i32") return (x) => x | 0;
  if (dtype === "u32") return (x) => x >>> 0;
  if (dtype === "bool" || precision === "f64") return (x) => x;
  if (typeof precision === "function") return precision;
  return dtype === "f16" ? roundF16 : Math.fround;
}

const roundF16 = (x: number): number => halfToNumber(numberToHalf(x));

export const concreteShape = (type: { readonly shape: readonly Size[] }, batch: number): number[] =>
  type.shape.map((size) => sizeAt(size, batch));

const describe = (type: TensorType, shape: readonly number[]): string => `${printType(type)}, that is [${shape.join(", ")}]`;

function missing(fn: Fn, node: Node | undefined): never {
  throw new InternalError(`@${fn.name}: ${node ? `${node.op} reads` : "a result is"} a value that no node before defines`);
}
