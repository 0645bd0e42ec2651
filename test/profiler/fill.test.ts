// Made-up weights: every number of every weight that a session has is written once, weights and averages the same, and they are like noise.
import { expect, test } from "vitest";
import { fillWeights } from "../../src/profiler/fill.js";
import type { Session } from "../../src/runtime/session.js";

/** Tensors of a session, which are written whole or in pieces; nothing in them is a number before. */
function sessionOf(shapes: Readonly<Record<string, readonly number[]>>, names: readonly string[]) {
  const count = (name: string) => shapes[name.slice(name.indexOf(".") + 1)]!.reduce((n, size) => n * size, 1);
  const tensors = new Map(names.map((name) => [name, new Float32Array(count(name)).fill(Number.NaN)]));
  const session = {
    names,
    program: { parameters: Object.entries(shapes).map(([name, shape]) => ({ name, shape })) },
    write: async (name: string, data: Float32Array) => {
      expect(data.length, name).toBe(tensors.get(name)!.length);
      tensors.get(name)!.set(data);
    },
    writeBytes: async (name: string, offset: number, bytes: Uint8Array) => {
      const whole = tensors.get(name)!;
      // As a session asks for where it stores halves.
      expect(offset % 8, name).toBe(0);
      expect(bytes.length % 8 === 0 || offset + bytes.length === whole.byteLength, name).toBe(true);
      new Uint8Array(whole.buffer).set(bytes, offset);
    },
  };
  return { session: session as unknown as Session, tensors };
}

const same = (a: Float32Array, b: Float32Array): boolean => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));

test("all numbers are written, of what the session has", async () => {
  const shapes = { w: [1000, 3001], b: [7], odd: [1, 1_500_001], unused: [5], scalar: [] };
  const names = ["p.w", "ema.w", "p.b", "p.odd", "ema.odd", "p.scalar", "m.w"];
  const { session, tensors } = sessionOf(shapes, names);
  await fillWeights(session);
  const moments = tensors.get("m.w")!;
  expect(moments.every(Number.isNaN)).toBe(true);
  tensors.delete("m.w");
  for (const [name, data] of tensors) expect(data.findIndex(Number.isNaN), name).toBe(-1);
  expect(same(tensors.get("ema.w")!, tensors.get("p.w")!)).toBe(true);
  expect(same(tensors.get("ema.odd")!, tensors.get("p.odd")!)).toBe(true);
});

test("they are spread evenly over ±0.02, neighbours and rows have nothing in common", async () => {
  const width = 1152;
  const { session, tensors } = sessionOf({ w: [1152, width] }, ["p.w"]);
  await fillWeights(session);
  const w = tensors.get("p.w")!;
  const mean = (of: (x: number, i: number) => number) => w.reduce((sum, x, i) => sum + of(x, i), 0) / w.length;
  // A mean of so many has a deviation of a thousandth of that of one.
  const [bound, variance] = [5 / Math.sqrt(w.length), 0.02 ** 2 / 3];
  expect(Math.max(...w.subarray(0, 100_000))).toBeGreaterThan(0.0199);
  expect(w.every((x) => Math.abs(x) <= Math.fround(0.02))).toBe(true);
  expect(Math.abs(mean((x) => x))).toBeLessThan(bound * 0.02);
  expect(mean((x) => x * x)).toBeCloseTo(variance, 6);
  for (const apart of [1, width]) {
    const both = mean((x, i) => (i + apart < w.length ? x * w[i + apart]! : 0));
    expect(Math.abs(both), `${apart} apart`).toBeLessThan(2 * bound * variance);
  }
  // The same at each call.
  const again = sessionOf({ w: [1152, width] }, ["p.w"]);
  await fillWeights(again.session);
  expect(same(again.tensors.get("p.w")!, w)).toBe(true);
});
