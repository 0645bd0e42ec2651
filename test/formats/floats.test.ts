/** Half floats: every one of them, and what lies between two. */
import { expect, test } from "vitest";
import { halfToNumber, numberToHalf } from "../../src/program/half.js";

const finite = Array.from({ length: 0x7c00 }, (_, half) => half);

test("every half goes to its number and back", () => {
  for (const half of finite) {
    expect(numberToHalf(halfToNumber(half))).toBe(half);
    expect(numberToHalf(-halfToNumber(half))).toBe(half | 0x8000);
  }
});

test("what lies between goes to the nearer, and from the middle to the even one", () => {
  for (const half of finite.slice(0, -1)) {
    const [low, high] = [halfToNumber(half), halfToNumber(half + 1)];
    const middle = (low + high) / 2;
    expect(numberToHalf(middle)).toBe(half % 2 === 0 ? half : half + 1);
    expect(numberToHalf(middle - (high - low) / 1024)).toBe(half);
    expect(numberToHalf(middle + (high - low) / 1024)).toBe(half + 1);
  }
});

test("the ends", () => {
  expect(numberToHalf(65519.9)).toBe(0x7bff);
  expect(numberToHalf(65520)).toBe(0x7c00);
  expect(numberToHalf(-1e30)).toBe(0xfc00);
  expect(numberToHalf(Number.POSITIVE_INFINITY)).toBe(0x7c00);
  expect(halfToNumber(numberToHalf(Number.NaN))).toBeNaN();
  expect(numberToHalf(-0)).toBe(0x8000);
  expect(numberToHalf(1e-10)).toBe(0);
});
