/**
 * The kernels that go through gradients for the sum of their squares: whole packs, as many as a kernel can bind. The first also takes what
 * products have added up beside their results (riding-squares.ts); each further one adds to what is there.
 */
import { Builder } from "../ir/builder.js";
import type { Fn, Node, Value } from "../ir/graph.js";
import { add } from "../ir/ops/elementwise.js";
import { split, sum } from "../ir/ops/shape.js";
import type { Size } from "../program/size.js";
import type { Computation } from "./computation.js";
import type { RidingSquares } from "./riding-squares.js";

export interface Squared {
  /** Storages that are read. */
  readonly read: readonly number[];
  /** Those whose squares have been added up by the kernels that made them. */
  readonly ridden: readonly number[];
  /** Where the sum goes, in parts. */
  readonly to: number;
  readonly riding: RidingSquares | undefined;
}

export interface SquaresHost {
  packOf(storage: number): number | undefined;
  bytesOf(storage: number): Size;
  readonly maxStorageBuffers: number;
}

export interface SquaresKernel {
  readonly body: Fn;
  readonly inputs: readonly number[];
  /** What there is when it has run, whoever has added it up: the squares of all so far. */
  readonly computes: Computation;
}

/** `node`: the op that all of it is. */
export function squaresKernels(node: Node, { read, ridden, to, riding }: Squared, host: SquaresHost): SquaresKernel[] {
  const units = unitsOf(read, host);
  const done = unitsOf(ridden, host);
  const most = host.maxStorageBuffers - 1;
  const body = (ids: readonly number[], beside = 0, before = false): Fn =>
    squaresBody(
      ids.map((id) => (host.bytesOf(id) as number) / 4),
      node,
      beside,
      before,
    );
  const kernels: SquaresKernel[] = [];
  for (let at = 0; kernels.length === 0 || at < units.length; ) {
    const first = kernels.length === 0;
    const beside = first ? riding : undefined;
    const group = units.slice(at, at + (beside ? most - 1 : most));
    at += group.length;
    done.push(...group);
    kernels.push({
      body: body(group, beside?.parts, !first),
      inputs: [...group, ...(beside ? [beside.storage] : []), ...(first ? [] : [to])],
      computes: { body: body(done), params: [...done], results: [{ storage: to }] },
    });
  }
  return kernels;
}

/** A pack once, however many of its parts are there; a tensor that stands twice counts twice. */
function unitsOf(storages: readonly number[], { packOf }: SquaresHost): number[] {
  const units: number[] = [];
  for (const id of storages) {
    const pack = packOf(id);
    if (pack === undefined || !units.includes(pack)) units.push(pack ?? id);
  }
  return units;
}

/**
 * The sum of squares of whole buffers. `beside`: so many sums that are there already, a multiple of the parts that this one has; `before`:
 * what it is added to.
 */
function squaresBody(sizes: readonly number[], { attrs, outputs }: Node, beside: number, before: boolean): Fn {
  const b = new Builder();
  const type = outputs[0]!.type;
  const param = (name: string, n: number) => b.param(name, "input", { dtype: "f32", axes: ["element"], shape: [n] });
  const buffers = sizes.map((n, i) => param(`x${i}`, n));
  let out: Value = { type };
  b.nodes.push({ op: "sum_of_squares", inputs: buffers, attrs, outputs: [out] });
  if (beside > 0) {
    const parts = attrs.parts as number;
    const rows = split(b, param("beside", beside), { axis: "element", into: ["part", "of"], sizes: [parts, beside / parts] });
    out = add(b, out, sum(b, rows, { over: ["of"] }));
  }
  if (before) out = add(b, out, b.param("before", "input", type));
  return b.finish("region_squares", [{ name: "y", value: out }]);
}
