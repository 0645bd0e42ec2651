/** Half floats: every one of them, and what lies between two. */
import { expect, test } from "vitest";
import { halfToNumber, numberToHalf, toHalves } from "../../src/program/half.js";

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

test("many at once are what they are one by one", () => {
  const between = finite.slice(0, -1).flatMap((half) => {
    const [low, high] = [halfToNumber(half), halfToNumber(half + 1)];
    return [low, (low + high) / 2, low + (high - low) / 1024, high - (high - low) / 1024];
  });
  const ends = [
    65504,
    65519.99,
    65520,
    65535.99,
    65536,
    1e30,
    Number.POSITIVE_INFINITY,
    Number.NaN,
    0,
    2 ** -14,
    2 ** -25,
    1e-40,
  ];
  const numbers = Float32Array.from([...between, ...ends].flatMap((x) => [x, -x]));
  const halves = new Uint16Array(toHalves(new Uint8Array(numbers.buffer)).buffer);
  expect(halves).toEqual(Uint16Array.from(numbers, numberToHalf));
  expect(toHalves(new Uint8Array(numbers.buffer, 4, 12)).length).toBe(8);
});
