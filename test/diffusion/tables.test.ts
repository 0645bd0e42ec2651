import { expect, test } from "vitest";
import { positionTable, timestepFeatures, timestepTable } from "../../src/diffusion/tables.js";
import { golden } from "../golden.js";

const file = golden("embeddings");

test.each(Object.keys(file.cases).filter((name) => name.startsWith("pos_")))("%s", (name) => {
  const {
    params,
    sum,
    sum_abs: sumAbs,
  } = file.cases[name] as { params: { D: number; grid: number }; sum: number; sum_abs: number };
  const table = positionTable(params.D, params.grid);
  const rows = [...file.i32(`${name}/rows`)].flatMap((row) => [...table.subarray(row * params.D, (row + 1) * params.D)]);
  expect(file.check(`${name}/values`, rows)).toBeUndefined();
  // Entries are rounded to f32 (at most 3e-8 each, in either direction), so the sums stay this close.
  expect(Math.abs(table.reduce((a, b) => a + b, 0) - sum)).toBeLessThan(1e-3);
  expect(Math.abs(table.reduce((a, b) => a + Math.abs(b), 0) - sumAbs)).toBeLessThan(1e-3);
});

test("the column comes first", () => {
  const table = positionTable(1152, 16);
  const at = (token: number, i: number): number => table[token * 1152 + i]!;
  expect(at(1, 0)).toBeCloseTo(0.841470984808, 7);
  expect(at(1, 288)).toBeCloseTo(0.540302305868, 7);
  expect([at(1, 576), at(1, 864), at(16, 0)]).toEqual([0, 1, 0]);
  expect(at(16, 576)).toBeCloseTo(0.841470984808, 7);
});

test("timestep features: cosines first, f64 accuracy at large arguments", () => {
  const t = file.f32("timestep_features/t");
  const got = timestepFeatures(t);
  expect(file.check("timestep_features/values", got)).toBeUndefined();
  // The manifest allows what f32 arithmetic would make of it; computed in f64 it is right to the last bit but one.
  const expected = file.f32("timestep_features/values");
  expect(Math.max(...got.map((x, i) => Math.abs(x - expected[i]!)))).toBeLessThan(1.2e-7);
  const table = timestepTable();
  expect(table.length).toBe(256_000);
  const values = [table[256], table[257], table[256 + 128], table[999 * 256], table[999 * 256 + 128]];
  [0.5403, 0.5974, 0.8415, 0.9996, -0.0265].forEach((value, i) => {
    expect(values[i]).toBeCloseTo(value, 4);
  });
});

test("sizes that do not divide are refused", () => {
  expect(() => positionTable(30, 4)).toThrow("DIT4111");
  expect(() => positionTable(32, 0)).toThrow("DIT4111");
  expect(() => timestepFeatures([1], 7)).toThrow("DIT4110");
});
