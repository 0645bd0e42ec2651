/**
 * What a function costs: multiply-adds, operations and bytes moved, as polynomials of the batch. In the graph stage every op counts as
 * if it were a kernel of its own (views move nothing); in the kernel stage a region moves its inputs and outputs and computes its body.
 */
import { add, mul, type Size, sub } from "../program/size.js";
import { type Fn, type Module, type Node, readers, type Value } from "./graph.js";
import { opRow } from "./ops/index.js";
import { bodyOf, GRADIENT, REGION } from "./region.js";
import { type DType, numel, type TensorType } from "./types.js";

export interface CostTotal {
  readonly macs: Size;
  readonly flops: Size;
  /** Bytes read and written. A value that a node reads twice is read once. */
  readonly bytes: Size;
}

const none: CostTotal = { macs: 0, flops: 0, bytes: 0 };

/** Bytes of one element in memory; a bool is stored as a u32. */
export const dtypeBytes = (dtype: DType): number => (dtype === "f16" ? 2 : 4);

export const typeBytes = (type: TensorType): Size => mul(numel(type), dtypeBytes(type.dtype));

export const costOf = (module: Module, fn: Fn): CostTotal =>
  fn.nodes.reduce((total, node) => plus(total, costOfNode(module, node)), none);

export function costOfNode(module: Module, node: Node): CostTotal {
  if (node.op === GRADIENT) return none;
  const bytes = moves(node)
    ? [...new Set([...node.inputs, ...node.outputs])].map((v: Value) => typeBytes(v.type)).reduce(add, 0)
    : 0;
  if (node.op === REGION) {
    const body = bodyOf(module, node);
    return { ...(body ? costOf(module, body) : none), bytes };
  }
  const types = (values: readonly Value[]) => values.map((v) => v.type);
  return { ...opRow(node.op).cost(types(node.inputs), types(node.outputs), node.attrs as never), bytes };
}

const moves = (node: Node): boolean => node.op === REGION || opRow(node.op).fusion.kind !== "view";

const plus = (a: CostTotal, b: CostTotal): CostTotal => ({
  macs: add(a.macs, b.macs),
  flops: add(a.flops, b.flops),
  bytes: add(a.bytes, b.bytes),
});

/** Bytes that a function reads of each parameter and writes of each result. */
export interface Traffic {
  readonly reads: readonly Size[];
  readonly writes: readonly Size[];
}

/**
 * What a kernel that computes `fn` has to move at least: each element of a parameter that it looks at, once. Views narrow what is looked
 * at, and of a table that is gathered from, a row counts as often as it is asked for.
 */
export function trafficOf(fn: Fn): Traffic {
  const readersOf = readers(fn);
  const results = new Set(fn.results.map(({ value }) => value));
  const looked = (v: Value): Size => {
    const whole = numel(v.type);
    if (results.has(v)) return whole;
    const parts = (readersOf.get(v) ?? []).map(({ op, outputs: [out] }): Size => {
      const { kind } = opRow(op).fusion;
      // A cast where an operand comes in is how it is read.
      return kind === "view" || op === "cast" ? looked(out!) : kind === "indexed" ? numel(out!.type) : whole;
    });
    return neverMore(parts.reduce(add, 0), whole);
  };
  const bytes = (elements: Size, { dtype }: TensorType): Size => mul(elements, dtypeBytes(dtype));
  return {
    reads: fn.params.map(({ value }) => bytes(looked(value), value.type)),
    writes: fn.results.map(({ value }) => typeBytes(value.type)),
  };
}

/** `most` where `size` is at least that at every batch, else `size`. */
export function neverMore(size: Size, most: Size): Size {
  const beyond = sub(size, most);
  return (typeof beyond === "number" ? [beyond] : beyond).every((c) => c >= 0) ? most : size;
}
