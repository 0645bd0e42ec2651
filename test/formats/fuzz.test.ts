/**
 * Damaged weights: ten thousand files, each a small good one with something done to it. Both readers, the one that holds a file and the
 * one that streams it to a GPU, end in an error of theirs or in tensors that fit; never in a crash, a hang, or much memory. And they agree.
 */
import { expect, test } from "vitest";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import { parseSafetensors, type StoredTensor, writeSafetensors } from "../../src/formats/safetensors.js";
import { DitRuntimeError } from "../../src/runtime/errors.js";
import type { Session } from "../../src/runtime/session.js";
import { streamWeights } from "../../src/runtime/weights.js";
import { type Random, random } from "../random-numbers.js";

const FILES = 10_000;
const good = writeSafetensors(
  new Map<string, StoredTensor>([
    ["fc.weight", { dtype: "F32", shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
    ["half", { dtype: "F16", shape: [4], data: Uint16Array.of(0x3c00, 0xc000, 0, 1) }],
    ["long", { dtype: "I64", shape: [1], data: BigInt64Array.of(-(2n ** 62n)) }],
    ["flag", { dtype: "BOOL", shape: [3], data: Uint8Array.of(1, 0, 1) }],
    ["scalar", { dtype: "F32", shape: [], data: Float32Array.of(4) }],
    ["empty", { dtype: "F32", shape: [0, 3], data: new Float32Array(0) }],
  ]),
  { step: "5", about: "a test" },
);
const headerBytes = Number(new DataView(good.buffer).getBigUint64(0, true));
const header = new TextDecoder().decode(good.subarray(8, 8 + headerBytes)).trimEnd();
const data = good.subarray(8 + headerBytes);

/** A file with this header, whose length is right. */
function withHeader(json: string | Uint8Array): Uint8Array {
  const bytes = typeof json === "string" ? new TextEncoder().encode(json) : json;
  const file = new Uint8Array(8 + bytes.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(bytes.length), true);
  file.set(bytes, 8);
  file.set(data, 8 + bytes.length);
  return file;
}

/** One thing after another that can be wrong with a file. */
const damages: Readonly<Record<string, (r: Random) => Uint8Array>> = {
  truncated: (r) => good.slice(0, r.below(good.length)),
  "bits of the header": (r) => {
    const file = good.slice();
    for (let k = 0; k <= r.below(4); k++) file[8 + r.below(headerBytes)]! ^= 1 << r.below(8);
    return file;
  },
  "bits of the length": (r) => {
    const file = good.slice();
    for (let k = 0; k <= r.below(2); k++) file[r.below(8)]! ^= 1 << r.below(8);
    return file;
  },
  "other digits": (r) => withHeader(header.replace(/\d/g, (digit) => (r.below(20) === 0 ? String(r.below(10)) : digit))),
  "absurd numbers": (r) => {
    const absurd = ["9007199254740991", "9007199254740993", "1e308", "1e400", "-1", "0.5", "4294967296", "true", "null", '"8"'];
    const every = 2 + r.below(8);
    return withHeader(header.replace(/\d+/g, (number) => (r.below(every) === 0 ? r.of(absurd) : number)));
  },
  "numbers swapped": (r) => {
    const numbers = header.match(/\d+/g)!;
    const [a, b] = [r.below(numbers.length), r.below(numbers.length)];
    [numbers[a], numbers[b]] = [numbers[b]!, numbers[a]!];
    return withHeader(header.replace(/\d+/g, () => numbers.shift()!));
  },
  "nesting without end": (r) => {
    const depth = 1 + r.below(r.below(8) === 0 ? 20_000 : 200);
    const bomb = r.of(["[", '{"a":']).repeat(depth);
    const closed = r.below(2) === 0 ? bomb : "[".repeat(depth) + "]".repeat(depth);
    return withHeader(header.replace(r.of([/\[[\d,]*\]/, /"F32"/, /\{"dtype[^}]*\}/, /"a test"/]), () => closed));
  },
  "long names": (r) =>
    withHeader(header.replace(r.of([/fc.weight/, /dtype/, /F32/, /shape/]), (name) => name.repeat(1 + r.below(5000)))),
  "no UTF-8": (r) => {
    const bytes = new TextEncoder().encode(header);
    bytes[r.below(bytes.length)] = r.of([0xff, 0xfe, 0xc0, 0x80, 0xed]);
    return withHeader(bytes);
  },
  "keys twice": (r) => {
    const entries = header.slice(1, -1).split(/,(?="[a-z]+(?:\.[a-z]+)?":\{"d)/);
    return withHeader(`{${[...entries, r.of(entries), r.of(entries)].slice(r.below(3)).join(",")}}`);
  },
  "pieces moved": (r) => good.slice().copyWithin(r.below(good.length), r.below(good.length), r.below(good.length)),
  "bytes at the end": (r) => {
    const file = new Uint8Array(good.length + 1 + r.below(9));
    file.set(good);
    return file;
  },
  "odd keys": (r) =>
    withHeader(
      header.replace(r.of(["half", "step", "__metadata__", "dtype"]), r.of(["__proto__", "constructor", "", "__metadata__"])),
    ),
};

/** A session that has two of the tensors. */
const elements: Readonly<Record<string, number>> = { "fc.weight": 6, half: 4 };
const session = {
  names: Object.keys(elements),
  bytesOf: (name: string) => 4 * elements[name]!,
  writeBytes: async (name: string, offset: number, bytes: Uint8Array) => {
    // What a real one does with bytes that do not fit.
    if (offset + bytes.length > 4 * elements[name]!) throw new DitRuntimeError("DIT6004", "too long");
  },
} as unknown as Session;

/** The code of the error, with all that is said; undefined when the file is fine. Anything else is thrown on. */
function held(file: Uint8Array): { code: string; text: string } | undefined {
  try {
    for (const { dtype, shape, data: values } of parseSafetensors(file, "x.safetensors").tensors.values()) {
      expect(values.length, dtype).toBe(shape.reduce((a, b) => a * b, 1));
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof DitError)) throw error;
    return { code: error.diagnostics[0]!.code, text: error.message };
  }
}

async function streamed(file: Uint8Array, piece: number): Promise<{ code: string; text: string } | undefined> {
  const pieces = (async function* () {
    for (let at = 0; at < file.length; at += piece) yield file.subarray(at, at + piece);
  })();
  try {
    await streamWeights(session, pieces, { label: "x.safetensors" });
    return undefined;
  } catch (error) {
    if (!(error instanceof DitRuntimeError)) throw error;
    return { code: error.code, text: error.message };
  }
}

test("damaged files: errors of ours, alike in both readers, in little time and memory", { timeout: 120_000 }, async () => {
  expect([held(good), await streamed(good, 7)]).toEqual([undefined, undefined]);
  const kinds = Object.entries(damages);
  const refused = new Map<string, number>();
  const codes = new Set<string>();
  const before = process.memoryUsage.rss();
  let most = before;
  let slowest = 0;
  for (let i = 0; i < FILES; i++) {
    const r = random(i);
    const [kind, make] = kinds[i % kinds.length]!;
    const file = make(r);
    const started = performance.now();
    const one = held(file);
    const two = await streamed(file, 1 + r.below(4096));
    slowest = Math.max(slowest, performance.now() - started);
    if (i % 16 === 0) most = Math.max(most, process.memoryUsage.rss());
    for (const said of [one, two]) {
      if (!said) continue;
      codes.add(said.code);
      expect(said.text, kind).toContain("x.safetensors");
      expect(said.text.length, kind).toBeLessThan(1000);
    }
    if (one) refused.set(kind, (refused.get(kind) ?? 0) + 1);
    // The stream reads no metadata.
    const alike = (one === undefined) === (two === undefined) || one?.text.includes("__metadata__");
    expect(alike, `${i} ${kind}: ${one?.text} / ${two?.text}`).toBe(true);
  }
  expect([...codes].sort()).toEqual(["DIT4010", "DIT4011", "DIT4012", "DIT4013", "DIT4014", "DIT6009"]);
  // Every kind does damage: else it tests nothing.
  for (const [kind] of kinds) expect(refused.get(kind) ?? 0, kind).toBeGreaterThan(FILES / kinds.length / 4);
  expect(most - before).toBeLessThan(2 ** 29);
  expect(slowest).toBeLessThan(2000);
});
