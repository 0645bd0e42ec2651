/**
 * The random numbers' own tests: the cipher against its published answers, the distributions against what they claim. Bounds on
 * moments are five standard errors of the statistic, so that a fixed seed passes and a wrong distribution does not.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  bernoulliThreshold,
  drawBernoulli,
  drawBits,
  drawInt,
  drawNormal,
  drawUniform,
  inverseNormal,
  keyOf,
  NORMAL_TABLE_SCALE,
  NORMAL_TABLE_SIZE,
  normalTable,
  purposeOf,
  threefry,
  type Words,
} from "../src/program/random.js";

const table = normalTable();
const hex = (words: Words): string => words.map((word) => word.toString(16).padStart(8, "0")).join(" ");
const ones = 0xffffffff;

test("Threefry4x32-20 gives the known answers of Random123", () => {
  expect(hex(threefry([0, 0, 0, 0], [0, 0, 0, 0]))).toBe("9c6ca96a e17eae66 fc10ecd4 5256a7d8");
  expect(hex(threefry([ones, ones, ones, ones], [ones, ones, ones, ones]))).toBe("2a881696 57012287 f6c7446e a16a6732");
  const pi: [Words, Words] = [
    [0xa4093822, 0x299f31d0, 0x082efa98, 0xec4e6c89],
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
  ];
  expect(hex(threefry(...pi))).toBe("59cd1dbb b8879579 86b5d00c ac8b6d84");
});

test("a draw is word 0 at (element, sample) under (seed, purpose, step)", () => {
  const seed = 2 ** 40 + 5;
  expect(keyOf(seed, 7, 9)).toEqual([5, 256, 7, 9]);
  expect(drawBits(keyOf(seed, 7, 9), 11, 13)).toBe(threefry([5, 256, 7, 9], [11, 13, 0, 0])[0]);
});

test("purposes are FNV-1a hashes of names", () => {
  expect(purposeOf("")).toBe(0x811c9dc5);
  expect(purposeOf("a")).toBe(0xe40c292c);
  expect(purposeOf("foobar")).toBe(0xbf9cf968);
});

test("integers are the high half of the 64-bit product, and uniform", () => {
  const key = keyOf(3, 0, 0);
  let wrong = 0;
  for (let i = 0; i < 20_000; i++) {
    const [bits, below] = [drawBits(key, i, 0), drawBits(key, i, 1)];
    if (drawInt(bits, below) !== Number((BigInt(bits) * BigInt(below)) >> 32n)) wrong++;
  }
  expect(wrong).toBe(0);
  expect([drawInt(ones, ones), drawInt(ones, 1000), drawInt(0, 1000), drawInt(ones, 1), drawInt(5, 0)]).toEqual([
    ones - 1,
    999,
    0,
    0,
    0,
  ]);
  const counts = new Float64Array(1000);
  for (let i = 0; i < 1_000_000; i++) counts[drawInt(drawBits(key, i, 2), 1000)]! += 1;
  // Chi square with 999 degrees of freedom: mean 999, standard deviation 44.7.
  const chi = counts.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
  expect(Math.abs(chi - 999)).toBeLessThan(5 * 44.7);
});

test("booleans and uniforms follow their bits", () => {
  expect(bernoulliThreshold(0.5)).toBe(2 ** 31);
  expect([bernoulliThreshold(0), bernoulliThreshold(1)]).toEqual([0, ones]);
  expect([drawBernoulli(0, 0), drawBernoulli(2 ** 31 - 1, 2 ** 31), drawBernoulli(2 ** 31, 2 ** 31)]).toEqual([
    false,
    true,
    false,
  ]);
  const threshold = bernoulliThreshold(0.1);
  const key = keyOf(4, 0, 0);
  let hits = 0;
  for (let i = 0; i < 1_000_000; i++) if (drawBernoulli(drawBits(key, i, 0), threshold)) hits++;
  expect(Math.abs(hits - 100_000)).toBeLessThan(5 * 300);
  expect([drawUniform(0), drawUniform(ones)]).toEqual([0, 1 - 2 ** -24]);
});

/**
 * Upper tail of the standard normal, by an expansion that knows nothing of the rational functions under test: a Taylor series near
 * zero, Lentz's continued fraction beyond.
 */
function upperTail(z: number): number {
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  if (z < 3) {
    let [term, sum] = [z, z];
    for (let k = 1; k < 100; k++) {
      term *= (z * z) / (2 * k + 1);
      sum += term;
    }
    return 0.5 - density * sum;
  }
  let fraction = 0;
  for (let k = 300; k > 0; k--) fraction = k / (z + fraction);
  return density / (z + fraction);
}

test("the quantile function inverts the distribution", () => {
  for (let k = 1; k < 4000; k++) {
    const p = k < 3000 ? k / 6000 : 2 ** (-(k - 2999) / 29);
    const z = -inverseNormal(p);
    // An error of e in z moves the tail by density * e.
    const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
    expect(Math.abs(upperTail(z) - p) / density).toBeLessThan(2e-13 * Math.max(1, 3 - z));
  }
  expect(inverseNormal(0.5)).toBe(0);
  expect(inverseNormal(0.975)).toBeCloseTo(1.959963984540054, 14);
  expect(inverseNormal(0.2)).toBeCloseTo(-inverseNormal(0.8), 14);
});

test("the table falls monotonically, is exact in f32 and never changes", () => {
  expect(table.length).toBe(NORMAL_TABLE_SIZE);
  for (let i = 0; i + 1 < table.length; i++) {
    const drop = table[i]! - table[i + 1]!;
    expect(drop).toBeGreaterThanOrEqual(i < 255 ? 0 : 1);
    // Interpolation multiplies by 18 bits; only whole octaves below bit 8 of the magnitude are never interpolated.
    if (i >= 256) expect(drop).toBeLessThan(2 ** 13);
  }
  expect(table[0]!).toBeLessThan(2 ** 24);
  expect(table[NORMAL_TABLE_SIZE - 1]).toBe(0);
  // A change here changes every trained weight and every sample: it needs a new version of the program format.
  const hash = createHash("sha256").update(new Uint8Array(table.buffer)).digest("hex");
  expect(hash).toBe("6d5fffb5e88311792d5ef5030f90210931abc2d0b1e3f1ddc6f436af85f95394");
});

test("normals are within 1.5e-6 of the exact quantile everywhere, exact in f32, symmetric, bounded", () => {
  const key = keyOf(5, 0, 0);
  let [worst, inexact, lopsided] = [0, 0, 0];
  for (let i = 0; i < 300_000; i++) {
    // All octaves alike: the tails are where a table goes wrong.
    const bits = drawBits(key, i, 0) >>> (1 + (i % 31));
    const z = drawNormal(bits, table);
    worst = Math.max(worst, Math.abs(z + inverseNormal((bits + 0.5) / 2 ** 32)));
    if (Math.fround(z) !== z) inexact++;
    if (drawNormal((bits | 0x80000000) >>> 0, table) !== -z) lopsided++;
  }
  expect(worst).toBeLessThan(1.5e-6);
  expect([inexact, lopsided]).toEqual([0, 0]);
  expect(drawNormal(0, table)).toBe(table[0]! / NORMAL_TABLE_SCALE);
  expect(drawNormal(0, table)).toBeCloseTo(6.337957, 5);
  expect(Object.is(drawNormal(ones, table), 0)).toBe(true);
});

test.each([1, 2, 3])("a million normals have the moments and tails of a normal (seed %i)", (seed) => {
  const n = 1_000_000;
  const key = keyOf(seed, purposeOf("test.normal"), 0);
  let [m1, m2, m3, m4] = [0, 0, 0, 0];
  const beyond = [0, 0, 0, 0, 0];
  let before = 0;
  let product = 0;
  for (let i = 0; i < n; i++) {
    const z = drawNormal(drawBits(key, i, 0), table);
    m1 += z;
    m2 += z * z;
    m3 += z ** 3;
    m4 += z ** 4;
    product += z * before;
    before = z;
    for (let k = 0; k < Math.floor(Math.abs(z)) && k < 5; k++) beyond[k]! += 1;
  }
  const error = 5 / Math.sqrt(n);
  expect(Math.abs(m1 / n)).toBeLessThan(error);
  expect(Math.abs(m2 / n - 1)).toBeLessThan(error * Math.sqrt(2));
  expect(Math.abs(m3 / n)).toBeLessThan(error * Math.sqrt(15));
  expect(Math.abs(m4 / n - 3)).toBeLessThan(error * Math.sqrt(96));
  expect(Math.abs(product / n)).toBeLessThan(error);
  beyond.forEach((count, k) => {
    const expected = 2 * upperTail(k + 1) * n;
    expect(Math.abs(count - expected)).toBeLessThan(5 * Math.sqrt(expected) + 3);
  });
});

test("streams differ by seed, purpose, step, element and sample", () => {
  const of = (seed: number, purpose: number, step: number, element: number, sample: number): number =>
    drawBits(keyOf(seed, purpose, step), element, sample);
  const seen = new Set([of(0, 0, 0, 0, 0), of(1, 0, 0, 0, 0), of(2 ** 32, 0, 0, 0, 0), of(0, 1, 0, 0, 0), of(0, 0, 1, 0, 0)]);
  for (const bits of [of(0, 0, 0, 1, 0), of(0, 0, 0, 0, 1)]) seen.add(bits);
  expect(seen.size).toBe(7);
});

test("the file ships in web bundles, so it imports nothing", () => {
  expect(readFileSync(new URL("../src/program/random.ts", import.meta.url), "utf8")).not.toMatch(/^import|require\(|import\(/m);
});
