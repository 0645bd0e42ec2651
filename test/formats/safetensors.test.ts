import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import { brainToNumber, toFloat32 } from "../../src/formats/floats.js";
import { parseSafetensors, readHeader, type StoredTensor, writeSafetensors } from "../../src/formats/safetensors.js";
import { halfToNumber } from "../../src/program/half.js";

const all: [string, StoredTensor][] = [
  ["flag", { dtype: "BOOL", shape: [3], data: Uint8Array.of(1, 0, 1) }],
  ["f64", { dtype: "F64", shape: [1, 2], data: Float64Array.of(Math.PI, -0) }],
  ["byte", { dtype: "U8", shape: [2, 2], data: Uint8Array.of(1, 2, 3, 255) }],
  ["f32", { dtype: "F32", shape: [2], data: Float32Array.of(1.5, Number.NaN) }],
  ["half", { dtype: "F16", shape: [2], data: Uint16Array.of(0x3c00, 0xc000) }],
  ["brain", { dtype: "BF16", shape: [1], data: Uint16Array.of(0x3fc0) }],
  ["long", { dtype: "I64", shape: [1], data: BigInt64Array.of(-(2n ** 62n)) }],
  ["int", { dtype: "I32", shape: [2], data: Int32Array.of(-1, 7) }],
  ["word", { dtype: "U32", shape: [1], data: Uint32Array.of(0xffffffff) }],
  ["scalar", { dtype: "F32", shape: [], data: Float32Array.of(4) }],
  ["empty", { dtype: "F32", shape: [0, 3], data: new Float32Array(0) }],
  ["__proto__", { dtype: "U8", shape: [1], data: Uint8Array.of(9) }],
];
const sample = (): Uint8Array => writeSafetensors(new Map(all), { step: "5", about: "ä test" });

/** A file from a header (an object, or any text) and the data after it. */
function file(header: unknown, data = new Uint8Array(0), length?: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length ?? json.length), true);
  bytes.set(json, 8);
  bytes.set(data, 8 + json.length);
  return bytes;
}

const codeOf = (bytes: Uint8Array): string | undefined => {
  try {
    parseSafetensors(bytes, "x.safetensors");
  } catch (error) {
    if (!(error instanceof DitError)) throw error;
    expect(error.message).toContain("x.safetensors");
    expect(error.diagnostics[0]?.help).toBeTruthy();
    return error.diagnostics[0]?.code;
  }
  return undefined;
};

test("every dtype comes back as it was written, in the order given, at any alignment", () => {
  const bytes = sample();
  for (const shift of [0, 1, 2, 4]) {
    const moved = new Uint8Array(bytes.length + shift);
    moved.set(bytes, shift);
    const { tensors, metadata } = parseSafetensors(moved.subarray(shift), "a");
    expect([...tensors]).toEqual(all);
    expect([...metadata]).toEqual([
      ["about", "ä test"],
      ["step", "5"],
    ]);
    if (shift === 0) for (const { data } of tensors.values()) expect(data.buffer).toBe(moved.buffer);
  }
});

test("writing is deterministic and keeps the header's order", () => {
  expect(writeSafetensors(new Map(all), new Map(Object.entries({ about: "ä test", step: "5" })))).toEqual(sample());
  expect([...readHeader(sample(), "a").entries.keys()]).toEqual(all.map(([name]) => name));
});

test("a header can be read from the first bytes alone", () => {
  const bytes = sample();
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const { entries } = readHeader(bytes.subarray(0, 8 + length), "a", bytes.length);
  const { begin, end } = entries.get("int")!;
  expect([...new Int32Array(bytes.slice(begin, end).buffer)]).toEqual([-1, 7]);
});

test("files of other writers are read: what is written back is equal in content", () => {
  for (const name of ["embeddings", "schedules"]) {
    const bytes = new Uint8Array(readFileSync(new URL(`../golden/${name}.safetensors`, import.meta.url)));
    const { tensors, metadata } = parseSafetensors(bytes, name);
    const again = parseSafetensors(writeSafetensors(tensors, metadata), name);
    expect(again.tensors).toEqual(tensors);
    expect(again.metadata).toEqual(metadata);
  }
});

const f32 = (extra: object = {}): object => ({ dtype: "F32", shape: [2], data_offsets: [0, 8], ...extra });
const eight = new Uint8Array(8);

test.each([
  ["no bytes", new Uint8Array(0), "DIT4010"],
  ["a cut length", Uint8Array.of(1, 2, 3), "DIT4010"],
  ["a header longer than the file", file("{}", eight, 1000), "DIT4011"],
  ["an absurd header length", file("{}", eight, Number.MAX_SAFE_INTEGER), "DIT4011"],
  ["a header that is not JSON", file("{nope"), "DIT4012"],
  ["a header that is not UTF-8", new Uint8Array([2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe]), "DIT4012"],
  ["a header that is a list", file("[]"), "DIT4012"],
  ["an empty header", file(""), "DIT4012"],
  ["nesting without end", file("[".repeat(200_000)), "DIT4012"],
  ["an entry that is a number", file({ a: 1 }), "DIT4013"],
  ["an entry without offsets", file({ a: { dtype: "F32", shape: [2] } }, eight), "DIT4013"],
  ["a dtype of another kind", file({ a: f32({ dtype: "F8_E4M3" }) }, eight), "DIT4013"],
  ["a dtype from the prototype", file({ a: f32({ dtype: "toString" }) }, eight), "DIT4013"],
  ["a negative size", file({ a: f32({ shape: [-2] }) }, eight), "DIT4013"],
  ["a size that is no whole number", file({ a: f32({ shape: [1.5] }) }, eight), "DIT4013"],
  ["offsets as text", file({ a: f32({ data_offsets: ["0", "8"] }) }, eight), "DIT4013"],
  ["metadata that is no text", file({ __metadata__: { a: 1 } }), "DIT4013"],
  ["offsets out of range", file({ a: f32({ data_offsets: [0, 16] }) }, eight), "DIT4014"],
  ["offsets backwards", file({ a: f32({ data_offsets: [8, 0] }) }, eight), "DIT4014"],
  ["a wrong number of bytes", file({ a: f32({ shape: [3] }) }, eight), "DIT4014"],
  ["a product beyond all numbers", file({ a: f32({ shape: [2 ** 50, 2 ** 50, 2 ** 50] }) }, eight), "DIT4014"],
  ["overlapping tensors", file({ a: f32(), b: f32({ shape: [1], data_offsets: [4, 8] }) }, eight), "DIT4014"],
  ["a hole", file({ a: f32({ shape: [1], data_offsets: [4, 8] }) }, eight), "DIT4014"],
  ["bytes after the last tensor", file({ a: f32() }, new Uint8Array(9)), "DIT4014"],
])("refuses %s", (_, bytes, code) => {
  expect(codeOf(bytes)).toBe(code);
});

test("any tensors survive the round trip", () => {
  const tensor = fc.array(fc.float(), { maxLength: 20 }).map((values): StoredTensor => {
    return { dtype: "F32", shape: [values.length], data: Float32Array.from(values) };
  });
  // Names like "0" are left out: a JSON object sorts them first.
  const name = fc.string().filter((text) => text !== "__metadata__" && !/^\d+$/.test(text));
  fc.assert(
    fc.property(fc.array(fc.tuple(name, tensor)), (pairs) => {
      const tensors = new Map(pairs);
      expect([...parseSafetensors(writeSafetensors(tensors), "a").tensors]).toEqual([...tensors]);
    }),
    { numRuns: 200, seed: 1 },
  );
});

test("refuses to write what a reader would refuse", () => {
  const write = (tensor: StoredTensor, name = "a"): Uint8Array => writeSafetensors(new Map([[name, tensor]]));
  expect(() => write({ dtype: "F32", shape: [3], data: new Float32Array(2) })).toThrow("DIT4015");
  expect(() => write({ dtype: "I32", shape: [2], data: new Float32Array(2) })).toThrow("DIT4015");
  expect(() => write({ dtype: "F32", shape: [1], data: new Float32Array(1) }, "__metadata__")).toThrow("DIT4015");
});

test("half-precision bits become the numbers they stand for", () => {
  const halves: [number, number][] = [
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x0001, 2 ** -24],
    [0x0400, 2 ** -14],
    [0x8000, -0],
    [0x7c00, Number.POSITIVE_INFINITY],
    [0x7e00, Number.NaN],
    [0x3555, 0.333251953125],
  ];
  for (const [bits, value] of halves) expect(halfToNumber(bits)).toBe(value);
  expect(brainToNumber(0x3fc0)).toBe(1.5);
  expect(brainToNumber(0xff80)).toBe(Number.NEGATIVE_INFINITY);
  expect(toFloat32({ dtype: "F16", shape: [1], data: Uint16Array.of(0x3c00) })).toEqual(Float32Array.of(1));
  expect(toFloat32({ dtype: "I32", shape: [1], data: Int32Array.of(1) })).toBeUndefined();
});
