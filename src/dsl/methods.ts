/**
 * What the methods of a tensor do: each appends nodes to the function being traced. The types of `Tensor` are the interface in
 * tensor.ts; this class works on plain names, checks what types cannot see, and becomes a `Tensor` by the one cast in `wrap`.
 */
import type { Attrs, Value } from "../ir/graph.js";
import { type DType, printType, sizeOf, type TensorType } from "../ir/types.js";
import { printSize, product, type Size } from "../program/size.js";
import { align } from "./broadcast.js";
import { refuse } from "./sites.js";
import type { AnyTensor, Tensor } from "./tensor.js";
import { describe, emit } from "./trace.js";

/** The names in `"batch token hidden"`. */
export const words = (axes: string): string[] => axes.split(" ").filter((w) => w !== "");

/** A value as a tensor of the types the caller has worked out. */
export const wrap = <A extends string = string, D extends DType = "f32">(value: Value): Tensor<A, D> =>
  new Recorded(value) as unknown as Tensor<A, D>;

type Operand = number | AnyTensor;

/** A number, or the value of a tensor; anything else comes from code that was not type-checked. */
export function operand(op: string, x: unknown): Value | number {
  if (typeof x === "number") return x;
  if (x instanceof Recorded) return x.value;
  return refuse("DIT1205", `${op}: expected a tensor or a number, got ${x === null ? "null" : typeof x}`, {
    help: "a cast (as …) hides from the type checker what a value is",
  });
}

export function valueIn(op: string, x: unknown): Value {
  const v = operand(op, x);
  return typeof v === "number" ? refuse("DIT1205", `${op}: expected a tensor, got the number ${v}`) : v;
}

export class Recorded implements Record<keyof Tensor<string>, unknown> {
  constructor(readonly value: Value) {}

  get type(): TensorType {
    return this.value.type;
  }
  get axes(): string {
    return this.type.axes.join(" ");
  }
  get dtype(): DType {
    return this.type.dtype;
  }
  get sizes(): Readonly<Record<string, Size>> {
    return Object.fromEntries(this.type.axes.map((name, i) => [name, this.type.shape[i]!]));
  }
  toString(): string {
    return printType(this.type);
  }

  private one(op: string, attrs: Attrs = {}, help?: string): Recorded {
    return new Recorded(emit(op, [this.value], attrs, help));
  }
  private two(op: string, other: Operand): Recorded {
    return new Recorded(emit(op, align(op, [this.value, operand(op, other)])));
  }
  /** The same op with its operands changed over: a > b is b < a. The order of axes stays this tensor's. */
  private turned(op: string, other: Operand): Recorded {
    const [a, b] = align(op, [this.value, operand(op, other)]);
    return new Recorded(emit(op, [b!, a!]));
  }

  add(other: Operand): Recorded {
    return this.two("add", other);
  }
  sub(other: Operand): Recorded {
    return this.two("sub", other);
  }
  mul(other: Operand): Recorded {
    return this.two("mul", other);
  }
  div(other: Operand): Recorded {
    return this.two("div", other);
  }
  maximum(other: Operand): Recorded {
    return this.two("maximum", other);
  }
  minimum(other: Operand): Recorded {
    return this.two("minimum", other);
  }
  lt(other: Operand): Recorded {
    return this.two("lt", other);
  }
  le(other: Operand): Recorded {
    return this.two("le", other);
  }
  gt(other: Operand): Recorded {
    return this.turned("lt", other);
  }
  ge(other: Operand): Recorded {
    return this.turned("le", other);
  }
  eq(other: Operand): Recorded {
    return this.two("eq", other);
  }
  and(other: AnyTensor): Recorded {
    return this.two("and", other);
  }
  or(other: AnyTensor): Recorded {
    return this.two("or", other);
  }

  not(): Recorded {
    return this.one("not");
  }
  neg(): Recorded {
    return this.one("neg");
  }
  abs(): Recorded {
    return this.one("abs");
  }
  square(): Recorded {
    return this.one("square");
  }
  exp(): Recorded {
    return this.one("exp");
  }
  expm1(): Recorded {
    return this.one("expm1");
  }
  log(): Recorded {
    return this.one("log");
  }
  sqrt(): Recorded {
    return this.one("sqrt");
  }
  rsqrt(): Recorded {
    return this.one("rsqrt");
  }
  tanh(): Recorded {
    return this.one("tanh");
  }
  sigmoid(): Recorded {
    return this.one("sigmoid");
  }
  reciprocal(): Recorded {
    return this.one("reciprocal");
  }
  isFinite(): Recorded {
    return this.one("is_finite");
  }
  cast(dtype: DType): Recorded {
    return dtype === this.dtype ? this : this.one("cast", { dtype });
  }

  rename(names: Readonly<Record<string, string>>): Recorded {
    const odd = Object.keys(names).find((name) => !this.type.axes.includes(name));
    if (odd !== undefined) this.noAxis("rename", odd);
    const axes = this.type.axes.map((name) => names[name] ?? name);
    return axes.every((name, i) => name === this.type.axes[i]) ? this : this.one("rename", { axes });
  }

  transpose(axes: string): Recorded {
    const order = words(axes);
    return order.join(" ") === this.axes ? this : this.one("transpose", { axes: order });
  }

  expand(axes: string, sizes: Readonly<Record<string, Size>>): Recorded {
    const names = words(axes);
    const shape = names.map(
      (name) => sizeOf(this.type, name) ?? sizes[name] ?? refuse("DIT2005", `expand: axis "${name}" has no size`),
    );
    return this.one("expand", { axes: names, sizes: shape });
  }

  split(axis: string, into: string, sizes: Readonly<Record<string, number>>): Recorded {
    const size = this.sizeOf("split", axis);
    const names = words(into);
    const open = names.filter((name) => sizes[name] === undefined);
    if (open.length > 1)
      refuse("DIT2005", `split: sizes of "${open.join('" and "')}" are missing; one may be left out, to be worked out`);
    const given = product(names.map((name) => sizes[name] ?? 1)) as number;
    if (open.length === 1 && (typeof size !== "number" || size % given !== 0)) {
      refuse("DIT2006", `split: axis "${axis}" of size ${printSize(size)} does not divide by ${given}`, {
        notes: [describe(this.value, 0), `into ${names.map((name) => `${name}: ${sizes[name] ?? "?"}`).join(", ")}`],
        help: `choose sizes whose product divides ${printSize(size)}`,
      });
    }
    const all = names.map((name) => sizes[name] ?? (size as number) / given);
    return this.one(
      "split",
      { axis, into: names, sizes: all },
      `the sizes of "${names.join(" ")}" must multiply to ${printSize(size)}`,
    );
  }

  merge(axes: string, into: string): Recorded {
    return this.one("merge", { axes: words(axes), into }, "transpose first, so that they stand side by side");
  }

  slice(axis: string, from: number, to: number): Recorded {
    return this.one("slice", { axis, from, to }, "a slice goes from its first place up to, and without, its last");
  }

  select(axis: string, index: number): Recorded {
    const size = this.sizeOf("select", axis);
    if (index < 0 || (typeof size === "number" && index >= size)) {
      refuse("DIT2007", `select: index ${index} is outside axis "${axis}" of size ${printSize(size)}`, {
        notes: [describe(this.value, 0)],
        help: "places count from 0",
      });
    }
    return this.slice(axis, index, index + 1).one("drop", { axis });
  }

  unbind(axis: string, count?: number): Recorded[] {
    const size = this.sizeOf("unbind", axis);
    if (typeof size !== "number") refuse("DIT2008", `unbind: axis "${axis}" has no fixed size: it is ${printSize(size)}`);
    if (count !== undefined && count !== size) {
      refuse("DIT2008", `unbind: axis "${axis}" has ${size} places, not ${count}`, {
        notes: [describe(this.value, 0)],
        help: "slice or split the axis first, or take all its places",
      });
    }
    return Array.from({ length: size }, (_, i) => this.select(axis, i));
  }

  reverse(axis: string): Recorded {
    return this.one("reverse", { axis });
  }

  pad(axis: string, before: number, after: number): Recorded {
    return before === 0 && after === 0 ? this : this.one("pad", { axis, before, after });
  }

  size(axis: string): number {
    const size = this.sizeOf("size", axis);
    if (typeof size === "number") return size;
    return refuse("DIT2008", `axis "${axis}" has no fixed size: it is ${printSize(size)} and known when the program is loaded`, {
      notes: [describe(this.value, 0)],
      help: "write the model so that it does not need the batch size; mean and sum over the batch work without it",
    });
  }

  private sizeOf(op: string, axis: string): Size {
    return sizeOf(this.type, axis) ?? this.noAxis(op, axis);
  }
  private noAxis(op: string, axis: string): never {
    return refuse("DIT2001", `${op}: no axis ${axis} in [${this.axes}]`, { notes: [describe(this.value, 0)] });
  }
}
