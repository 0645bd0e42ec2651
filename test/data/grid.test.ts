import { decode } from "fast-png";
import { expect, test } from "vitest";
import { gridPng } from "../../src/data/grid.js";

test("grey images: places, padding, enlargement, bytes", () => {
  const images = Float32Array.of(-1, 1, 0, 2, -9, Number.NaN);
  const { width, height, channels, data } = decode(
    gridPng(images, [3, 1, 1, 2], { columns: 2, padding: 1, scale: 2, background: 9 }),
  );
  expect([width, height, channels]).toEqual([11, 7, 1]);
  const rows = Array.from({ length: 7 }, (_, y) => [...data.subarray(y * 11, y * 11 + 11)]);
  const first = [9, 0, 0, 255, 255, 9, 128, 128, 255, 255, 9];
  const second = [9, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9];
  const gap = Array(11).fill(9);
  expect(rows).toEqual([gap, first, first, gap, second, second, gap]);
});

test("colour images go from planes to pixels", () => {
  const { width, height, channels, data } = decode(gridPng(Float32Array.of(1, -1, 0, 0, -1, 1), [1, 3, 1, 2], { padding: 0 }));
  expect([width, height, channels]).toEqual([2, 1, 3]);
  expect([...data]).toEqual([255, 128, 0, 0, 128, 255]);
});

test("the default grid is nearly square", () => {
  const { width, height } = decode(gridPng(new Float32Array(10 * 16), [10, 1, 4, 4]));
  expect([width, height]).toEqual([4 * 6 + 2, 3 * 6 + 2]);
});

test("what is no picture is refused", () => {
  expect(() => gridPng(new Float32Array(16), [1, 4, 2, 2])).toThrow(/DIT4050[\s\S]*decode latents/);
  expect(() => gridPng(new Float32Array(5), [1, 1, 2, 2])).toThrow("DIT4050");
  expect(() => gridPng(new Float32Array(4), [1, 1, 2, 2], { columns: 0 })).toThrow("DIT4051");
  expect(() => gridPng(new Float32Array(4), [1, 1, 2, 2], { background: 256 })).toThrow("DIT4051");
});
