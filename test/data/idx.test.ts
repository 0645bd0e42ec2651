import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { parseIdx } from "../../src/data/idx.js";

const images = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255);
const labels = Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 7, 9);

test("reads images and labels, plain and gzipped", () => {
  for (const bytes of [images, new Uint8Array(gzipSync(images))]) {
    const { shape, data } = parseIdx(bytes, 3, "a");
    expect(shape).toEqual([2, 1, 3]);
    expect([...data]).toEqual([1, 2, 3, 4, 5, 255]);
  }
  expect([...parseIdx(labels, 1, "a").data]).toEqual([7, 9]);
});

test("damaged files are refused with a reason", () => {
  const zipped = new Uint8Array(gzipSync(images));
  expect(() => parseIdx(labels, 3, "train-images")).toThrow(/DIT4021: train-images[\s\S]*found 00 00 08 01[\s\S]*swapped/);
  expect(() => parseIdx(images, 1, "a")).toThrow("are the two names swapped?");
  expect(() => parseIdx(new Uint8Array(0), 1, "a")).toThrow("found nothing");
  expect(() => parseIdx(images.subarray(0, 9), 3, "a")).toThrow(/DIT4022: a: the header needs 16 bytes, the file has 9/);
  expect(() => parseIdx(images.subarray(0, 20), 3, "a")).toThrow(
    /DIT4022: a: images \(idx3\) of 2 x 1 x 3 need 6 bytes, the file has 4/,
  );
  expect(() => parseIdx(Uint8Array.of(0, 0, 13, 1, 0, 0, 0, 0), 1, "a")).toThrow("DIT4021");
  expect(() => parseIdx(zipped.subarray(0, 20), 3, "a")).toThrow("DIT4020");
  for (let length = 0; length < zipped.length; length++)
    expect(() => parseIdx(zipped.subarray(0, length), 3, "a")).toThrow(/DIT402/);
});
