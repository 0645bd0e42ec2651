/**
 * The crop against Pillow's: the wanted bytes were made with Pillow 12.3.0 by ADM's steps (BOX halvings, BICUBIC to the short side, middle
 * cut out), from images whose bytes a linear congruential generator gives.
 */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { centreCrop, planes } from "../../src/data/crop.mjs";

/** Bytes that any language makes alike: bits 16..23 of x := (1103515245 x + 12345) mod 2^31, from 12345. */
function image(width: number, height: number) {
  let x = 12345;
  const data = Uint8Array.from({ length: width * height * 3 }, () => {
    x = Number((BigInt(x) * 1103515245n + 12345n) & 0x7fffffffn);
    return (x >> 16) & 255;
  });
  return { data, width, height, bands: 3 };
}

const crop = (width: number, height: number, side: number) => Buffer.from(centreCrop(image(width, height), side).data);

test.each([
  [
    37,
    53,
    8,
    "6e737c7495978586957b82827c5d7d8c6f707592797c878c898b727f86848d917c807477748673758d83857c857f856a" +
      "857184909984847c6e8a7f738293736a84857482818c64887b6f82819c848871778380787e817d80847883778a8f758e" +
      "7c748a926a90869378928c7d7d908389799588798b8e7b7d858182846d7a8d8683817f7b7c82828c5c9e97838a869670" +
      "6887727c7b7c897f758578798c85678a807b97829168928b717d9d637a83616e8c8c777cae808a9494847d81896c6098",
  ],
  [21, 14, 4, "6191927f6a7bac7d8ba3807d729e838191818a8b857d8484868b9784799492a29060889d81709f8d7073aa9f73839267"],
  [
    5,
    7,
    8,
    "b13a60c92593cd1ad13e66b8258390866860744a265835085e8262ab49b0f414ff648d8c0e886f1904ae7e0e4ac72a02" +
      "344e6f5b39b09629fab469c4ab569089026db6763adcd91e156d61376da17669e6bc50a1e12774e10272c57074afc977" +
      "06cd3f45c98698afc888513cae142fff06aea61cd75731e21cfa247cbc63e56a9d6f8f205a7b23ac2bad5032c10645bb" +
      "3af6588db17fde5c9e56ab372ab1426962bb4a61a0306c7959bfe168b8e170a8d03b8e7a328e835fa6e1ae948ee18242",
  ],
])("%i x %i to %i has Pillow's bytes", (width, height, side, wanted) => {
  expect(crop(width, height, side).toString("hex")).toBe(wanted);
});

test.each([
  [257, 130, 32, "d4b320e27c563adffead4e5826909fa186133e02cf5e1a41ae76fb4f8f82c4d5"],
  [500, 333, 64, "ea60d169e57d735012244f53ae54cc1115faa73e81899181c8a89cd4097415e4"],
  [31, 100, 16, "ee63184396435828130e68d0b9393a92ee938bb4c9e61fe2a53b132d94d62d64"],
  [1000, 47, 24, "d62768f9b1e7b0dc21edd05f3d92cbae653536dcf48e1fb0408e5bccc99a2367"],
  [9, 8, 4, "2fb999870f137f3af7683662a80cdf3562bd542b98527f9223527e63dda55113"],
])("%i x %i to %i has Pillow's digest", (width, height, side, wanted) => {
  expect(
    createHash("sha256")
      .update(crop(width, height, side))
      .digest("hex"),
  ).toBe(wanted);
});

test("what has the wanted size already is not changed, and grey is Pillow's", () => {
  const whole = image(8, 8);
  expect(centreCrop(whole, 8)).toEqual(whole);
  const small = centreCrop(image(21, 14), 4);
  expect(Buffer.from(planes(small, 1)).toString("hex")).toBe("83728d8a8e8a8a828b7f9b7e7a799d89");
  const rgb = planes(small, 3);
  for (let i = 0; i < 48; i++) expect(rgb[(i % 3) * 16 + Math.floor(i / 3)]).toBe(small.data[i]);
  // One band is grey in every plane; the second of two is transparency, and that is gone by then.
  expect([...planes({ data: Uint8Array.of(7, 9), width: 2, height: 1, bands: 1 }, 3)]).toEqual([7, 9, 7, 9, 7, 9]);
  expect([...planes({ data: Uint8Array.of(7, 255, 9, 255), width: 2, height: 1, bands: 2 }, 1)]).toEqual([7, 9]);
});
