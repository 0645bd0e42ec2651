/**
 * An ONNX graph as it grows. Its values are names, its axes positions; here are what every op's form needs: constants (each once), shapes
 * that may depend on the batch, and views that leave out what changes nothing.
 */
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { Loc } from "../../ir/graph.js";
import type { DType, TensorType } from "../../ir/types.js";
import { product, type Size, sameSize } from "../../program/size.js";
import type { Attribute, OnnxNode, OnnxTensor, OnnxType } from "./proto.js";

type Attributes = Readonly<Record<string, Attribute>>;

export class GraphBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly tensors = new Map<string, OnnxTensor>();
  /** Stamped on every node from now on. */
  loc: Loc | undefined;
  readonly #taken = new Set<string>();
  #batch: { readonly input: string; readonly axis: number } | undefined;

  /** A name that nobody has: the one wished for, or that with a number. */
  name(wish: string): string {
    let name = wish;
    for (let n = 1; this.#taken.has(name); n++) name = `${wish}.${n}`;
    this.#taken.add(name);
    return name;
  }

  /** Where the batch can be read: an axis of an input. */
  batchIs(input: string, axis: number): void {
    this.#batch ??= { input, axis };
  }

  node(op: string, inputs: readonly string[], attributes: Attributes = {}, wish = op.toLowerCase()): string {
    const output = this.name(wish);
    const doc = this.loc && `${this.loc.file}:${this.loc.line}:${this.loc.column}`;
    this.nodes.push({ op, inputs, outputs: [output], attributes, doc });
    return output;
  }

  /** A constant; the same numbers are there once. */
  constant(values: readonly number[], dtype: OnnxType, shape: readonly number[]): string {
    const key = `${dtype} [${shape.join(" ")}] ${values.length > 8 ? `${values.length} of ` : ""}${values.join(" ")}`;
    if (!this.tensors.has(key)) this.tensors.set(key, { name: this.name(key), dtype, shape, data: bytesOf(values, dtype) });
    return this.tensors.get(key)!.name;
  }

  scalar = (value: number, dtype: DType): string => this.constant([value], dtype, []);
  ints = (values: readonly number[]): string => this.constant(values, "i64", [values.length]);

  /** A tensor of sizes, i64. */
  shape(sizes: readonly Size[]): string {
    if (sizes.every((size) => typeof size === "number")) return this.ints(sizes);
    const parts = sizes.map((size) => this.size(size));
    return parts.length === 1 ? parts[0]! : this.node("Concat", parts, { axis: 0 }, "shape");
  }

  /** One size as i64 [1]: a polynomial of the batch. */
  size(size: Size): string {
    if (typeof size === "number") return this.ints([size]);
    if (!this.#batch) throw new InternalError("a size depends on the batch, and no input has it");
    const { input, axis } = this.#batch;
    const batch = this.node("Shape", [input], { start: axis, end: axis + 1 }, "batch");
    // Horner's rule.
    const [highest, ...rest] = [...size].reverse();
    return rest.reduce(
      (total, c) => {
        const scaled = total === undefined ? this.ints([highest!]) : total;
        const next = scaled === this.ints([1]) ? batch : this.node("Mul", [scaled, batch], {}, "size");
        return c === 0 ? next : this.node("Add", [next, this.ints([c])], {}, "size");
      },
      undefined as string | undefined,
    )!;
  }

  /** `x`, of sizes `from`, read with sizes `to`. One size that is not known is left to the runtime. */
  reshape(x: string, from: readonly Size[], to: readonly Size[]): string {
    if (from.length === to.length && from.every((size, i) => sameSize(size, to[i]!))) return x;
    const open = to.filter((size) => typeof size !== "number").length;
    const shape = open === 1 ? this.ints(to.map((size) => (typeof size === "number" ? size : -1))) : this.shape(to);
    return this.node("Reshape", [x, shape]);
  }

  transpose(x: string, order: readonly number[]): string {
    return order.every((from, i) => from === i) ? x : this.node("Transpose", [x], { perm: order });
  }

  /** `x` in another order of its named axes. */
  arrange(x: string, axes: readonly string[], wanted: readonly string[]): string {
    return this.transpose(
      x,
      wanted.map((name) => axes.indexOf(name)),
    );
  }

  /** `x` with its axes where `type` has them and size 1 along those that it lacks; `whole`: repeated along them. */
  broadcast(x: string, own: TensorType, type: TensorType, whole: boolean): string {
    const ordered = this.arrange(
      x,
      own.axes,
      type.axes.filter((name) => own.axes.includes(name)),
    );
    const added = [...type.axes.keys()].filter((i) => !own.axes.includes(type.axes[i]!));
    if (added.length === 0) return ordered;
    const thin = this.node("Unsqueeze", [ordered, this.ints(added)]);
    if (!whole) return thin;
    // 1 along an axis means: as it is.
    const sizes = type.shape.map((size, i): Size => (added.includes(i) ? size : 1));
    return sizes.every((size) => size === 1) ? thin : this.node("Expand", [thin, this.shape(sizes)]);
  }

  /** `x`, whose axes come in the order of the groups, with each group as one axis. */
  grouped(x: string, groups: readonly (readonly Size[])[]): string {
    return this.reshape(x, groups.flat(), groups.map(product));
  }
}

function bytesOf(values: readonly number[], dtype: OnnxType): Uint8Array {
  switch (dtype) {
    case "f32":
      return new Uint8Array(Float32Array.from(values).buffer);
    case "i32":
      return new Uint8Array(Int32Array.from(values).buffer);
    case "u32":
      return new Uint8Array(Uint32Array.from(values).buffer);
    case "i64":
      return new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    case "bool":
      return Uint8Array.from(values);
    case "f16":
      throw new InternalError("nothing is computed in f16 yet");
  }
}
