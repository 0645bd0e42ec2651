import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fetchFashionMnist } from "../../src/data/fashion-mnist.js";

const be = (n: number): number[] => [0, 0, 0, n];
const images = (n: number): Uint8Array =>
  Uint8Array.of(0, 0, 8, 3, ...be(n), ...be(2), ...be(2), ...Array.from({ length: 4 * n }, (_, i) => i));
const labels = (...values: number[]): Uint8Array => Uint8Array.of(0, 0, 8, 1, ...be(values.length), ...values);

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "dit-fashion-"));
});
afterAll(() => rm(root, { recursive: true }));

async function folder(name: string, train: Uint8Array): Promise<string> {
  const path = join(root, name);
  await mkdir(path);
  await writeFile(join(path, "train-images-idx3-ubyte.gz"), gzipSync(images(3)));
  await writeFile(join(path, "train-labels-idx1-ubyte"), train);
  await writeFile(join(path, "t10k-images-idx3-ubyte"), images(1));
  await writeFile(join(path, "t10k-labels-idx1-ubyte.gz"), gzipSync(labels(9)));
  return path;
}

test("reads both halves from a folder, gzipped or not", async () => {
  const { train, test: held } = await fetchFashionMnist({ folder: await folder("good", labels(0, 9, 4)) });
  expect([train.count, train.channels, train.height, train.width, [...train.labels]]).toEqual([3, 1, 2, 2, [0, 9, 4]]);
  expect([...train.images]).toEqual(Array.from({ length: 12 }, (_, i) => i));
  expect([held.count, held.classes[9]]).toEqual([1, "ankle boot"]);
});

test("files that do not belong together are refused", async () => {
  await expect(fetchFashionMnist({ folder: await folder("few", labels(0, 9)) })).rejects.toThrow(
    /DIT4032[\s\S]*3 images, 2 labels/,
  );
  await expect(fetchFashionMnist({ folder: await folder("odd", labels(0, 10, 1)) })).rejects.toThrow(
    "label 10 of image 1 is not in 0..9",
  );
});

test("a missing set is never downloaded unasked", async () => {
  const before = process.env.DIT_COMPILE_CACHE;
  process.env.DIT_COMPILE_CACHE = join(root, "cache");
  try {
    await expect(fetchFashionMnist()).rejects.toThrow(/DIT4030: Fashion-MNIST is not in .*allow the download/s);
    await expect(fetchFashionMnist({ folder: root, download: true })).rejects.toThrow(/DIT4030.*put the four files there/s);
  } finally {
    if (before === undefined) delete process.env.DIT_COMPILE_CACHE;
    else process.env.DIT_COMPILE_CACHE = before;
  }
});
