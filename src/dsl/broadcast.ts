/**
 * Broadcast by name. The binary ops of the IR take operands of one and the same type; here is what makes them so: a number becomes
 * a fill, a tensor that lacks axes is expanded, one whose axes stand in another order is transposed.
 */
import type { Value } from "../ir/graph.js";
import { type DType, printType, sizeOf, type TensorType } from "../ir/types.js";
import { printSize, type Size, sameSize } from "../program/size.js";
import { refuse } from "./sites.js";
import { describe, emit } from "./trace.js";

const isValue = (x: Value | number): x is Value => typeof x !== "number";
const covers = (type: TensorType, other: TensorType): boolean => other.axes.every((name) => type.axes.includes(name));
const sameOrder = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name, i) => name === b[i]);

/** `x` with exactly these axes. */
export function expandTo(x: Value, axes: readonly string[], sizes: readonly Size[]): Value {
  if (sameOrder(x.type.axes, axes)) return x;
  return axes.length === x.type.axes.length ? emit("transpose", [x], { axes }) : emit("expand", [x], { axes, sizes });
}

/** The axes of the operand that has all names, the first one if several have. */
function widest(op: string, values: readonly Value[]): TensorType {
  const type = values.find((v) => values.every((other) => covers(v.type, other.type)))?.type;
  if (!type) {
    refuse("DIT2002", `${op}: no operand has the axes of all others`, {
      notes: values.map(describe),
      help: "broadcast is by name: rename an axis, or expand one operand",
    });
  }
  for (const v of values) {
    for (const [i, name] of v.type.axes.entries()) {
      const size = sizeOf(type, name)!;
      if (!sameSize(size, v.type.shape[i]!)) {
        refuse(
          "DIT2003",
          `${op}: axis "${name}" is ${printSize(size)} in one operand and ${printSize(v.type.shape[i]!)} in another`,
          {
            notes: values.map(describe),
            help: `an axis has one size; give one of the two another name, or mend the size it was declared with`,
          },
        );
      }
    }
  }
  return type;
}

/** Operands of one type, axes and dtype alike; `dtype` is what numbers become when no operand says. */
export function align(op: string, operands: readonly (Value | number)[], dtype: DType = "f32"): Value[] {
  const values = operands.filter(isValue);
  const wide = widest(op, values);
  const fills = values[0]?.type.dtype ?? dtype;
  const odd = values.find((v) => v.type.dtype !== fills);
  if (odd) refuse("DIT2004", `${op}: dtypes differ: ${fills} and ${odd.type.dtype}; use cast`, { notes: values.map(describe) });
  return operands.map((x) => (isValue(x) ? expandTo(x, wide.axes, wide.shape) : fill(x, { ...wide, dtype: fills })));
}

/** `where`: the condition broadcasts like the rest and keeps its dtype. */
export function alignWhere(cond: Value, a: Value | number, b: Value | number): [Value, Value, Value] {
  const values = [cond, a, b].filter(isValue);
  const wide = widest("where", values);
  const dtype = values[1]?.type.dtype ?? "f32";
  const [, x, y] = [cond, a, b].map((v) => (isValue(v) ? expandTo(v, wide.axes, wide.shape) : fill(v, { ...wide, dtype })));
  return [expandTo(cond, wide.axes, wide.shape), x!, y!];
}

export function fill(value: number, type: TensorType): Value {
  if (type.dtype === "bool") refuse("DIT2004", `a number cannot fill ${printType(type)}`);
  if (type.dtype !== "f32" && type.dtype !== "f16" && !Number.isInteger(value)) {
    refuse("DIT2004", `${value} is no ${type.dtype}`, { help: `cast the tensor to f32 first: x.cast("f32")` });
  }
  return emit("fill", [], { value, type });
}
