/**
 * What callers hand in and get back: typed arrays, checked against the entry's ports. A wrong shape is caught here, with the shape that
 * was expected in words; behind this point nothing looks at it again.
 */
import type { Entry, Port, ScalarType } from "../program/program.js";
import { evaluate } from "../program/size.js";
import { DitRuntimeError, suggestion } from "./errors.js";

export type TypedArray = Float32Array | Int32Array | Uint32Array | Uint8Array | Uint16Array;
/** Bools are bytes of 0 and 1 (or plain booleans); a plain array of numbers does for anything small. */
export type InputData = TypedArray | readonly number[] | readonly boolean[];
export type Inputs = Readonly<Record<string, InputData>>;
export type Outputs = Record<string, TypedArray>;

/** A port's shape at a batch: `f32 [batch 2, token 256]`. */
export function describePort(port: Port, batch: number): string {
  const axes = port.shape.map((size, i) => `${port.axes[i] ?? "?"} ${evaluate(size, batch)}`);
  return `${port.dtype} [${axes.join(", ")}]`;
}

export const elementsOf = (port: Port, batch: number): number =>
  port.shape.reduce((count: number, size) => count * evaluate(size, batch), 1);

/** The inputs of an entry as whole words, by storage. */
export function checkInputs(entry: Entry, inputs: Inputs, batch: number): { storage: number; bytes: Uint8Array }[] {
  const ports = entry.inputs.filter((port) => port.kind === "input");
  const names = ports.map((port) => port.name);
  for (const name of Object.keys(inputs)) {
    if (names.includes(name)) continue;
    const other = entry.inputs.find((port) => port.name === name);
    const help = other
      ? `"${name}" is a ${other.kind}: it is already there, and session.write changes it`
      : suggestion(name, names);
    throw new DitRuntimeError("DIT6004", `${entry.name} has no input "${name}"`, help);
  }
  return ports.map((port) => {
    const data = inputs[port.name];
    if (data === undefined) {
      throw new DitRuntimeError("DIT6004", `${entry.name} needs the input "${port.name}", ${describePort(port, batch)}`);
    }
    return { storage: port.storage, bytes: inputBytes(entry.name, port, data, batch) };
  });
}

const arrayNames = { f32: "Float32Array", i32: "Int32Array", u32: "Uint32Array", bool: "Uint8Array" } as const;

function inputBytes(entry: string, port: Port, data: InputData, batch: number): Uint8Array {
  const at = `input "${port.name}" of ${entry}`;
  const expected = describePort(port, batch);
  const bad = (message: string, help?: string): never => {
    throw new DitRuntimeError("DIT6004", `${at}: ${message}`, help);
  };
  const found = Array.isArray(data) ? "a plain array" : (Object.prototype.toString.call(data).slice(8, -1) as string);
  if (!Array.isArray(data) && !ArrayBuffer.isView(data)) bad(`expected ${expected}, found ${found}`);
  const count = elementsOf(port, batch);
  const length = (data as ArrayLike<unknown>).length;
  if (length !== count)
    bad(`expected ${expected} = ${count} elements, found ${length}`, "the session's batch is set by createSession or load");

  const values = data as ArrayLike<number | boolean>;
  if (port.dtype === "i32" || port.dtype === "u32") {
    // An Int32Array cannot hold anything else; all other arrays may come with fractions, which must not be cut off in silence.
    const wrong = found === arrayNames[port.dtype] ? -1 : findWrong(values, port.dtype);
    if (wrong >= 0)
      bad(`"${port.name}[${wrong}]" is ${String(values[wrong])}, expected a whole number`, "round it where it is made");
  }
  if (Array.isArray(data)) {
    const wrong = data.findIndex((value) => typeof value !== "number" && !(port.dtype === "bool" && typeof value === "boolean"));
    if (wrong >= 0) bad(`"${port.name}[${wrong}]" is ${String(data[wrong])}, expected a ${port.dtype}`);
    return bytesOf(fromNumbers(port.dtype, data.map(Number)));
  }
  if (port.dtype === "bool") {
    if (found !== "Uint8Array" && found !== "Uint32Array")
      bad(`expected a Uint8Array of 0 and 1 for ${expected}, found ${found}`);
    return bytesOf(fromNumbers("bool", values as ArrayLike<number>));
  }
  if (found !== arrayNames[port.dtype]) bad(`expected a ${arrayNames[port.dtype]} for ${expected}, found ${found}`);
  return bytesOf(data as TypedArray);
}

function findWrong(values: ArrayLike<number | boolean>, dtype: "i32" | "u32"): number {
  const [least, most] = dtype === "i32" ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) return i;
  }
  return -1;
}

function fromNumbers(dtype: ScalarType, values: ArrayLike<number>): TypedArray {
  switch (dtype) {
    case "f32":
      return Float32Array.from(values);
    case "i32":
      return Int32Array.from(values);
    case "u32":
      return Uint32Array.from(values);
    case "bool":
      return Uint32Array.from(values, (value) => (value === 0 ? 0 : 1));
  }
}

export const bytesOf = (data: ArrayBufferView): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Words read back from the GPU as the array of their type; bools become bytes again. */
export function fromBytes(dtype: ScalarType, bytes: ArrayBuffer, count: number): TypedArray {
  switch (dtype) {
    case "f32":
      return new Float32Array(bytes, 0, count);
    case "i32":
      return new Int32Array(bytes, 0, count);
    case "u32":
      return new Uint32Array(bytes, 0, count);
    case "bool":
      return Uint8Array.from(new Uint32Array(bytes, 0, count));
  }
}
