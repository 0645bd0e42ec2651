/** What --data may name, and what is said when it is nothing of the kind. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { mirrors, openData } from "../../src/data/open.js";
import { checkClasses, type DataSet } from "../../src/data/source.js";
import { type StoredTensor, writeSafetensors } from "../../src/formats/safetensors.js";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "dit-open-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const at = (...names: string[]) => join(root, ...names);
const options = { side: 4, channels: 1 } as const;
const refusal = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "no error",
    (error: Error) => error.message.replaceAll(root, "ROOT"),
  );

/** An idx file: big-endian sizes, then bytes. */
function idx(path: string, shape: number[], value: (i: number) => number): void {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.writeUInt32BE(0x800 + shape.length);
  shape.forEach((size, axis) => void header.writeUInt32BE(size, 4 + 4 * axis));
  writeFileSync(
    at(path),
    Buffer.concat([header, Uint8Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => value(i))]),
  );
}

test("a folder of idx files: classes are the digits that occur, and a test half may be absent", async () => {
  mkdirSync(at("digits"));
  idx("digits/train-images-idx3-ubyte", [3, 2, 2], (i) => 20 * i);
  idx("digits/train-labels-idx1-ubyte", [3], (i) => [4, 0, 2][i]!);
  const data = await openData(at("digits"), options);
  expect(data.train.classes).toEqual(["0", "1", "2", "3", "4"]);
  expect([data.train.channels, data.train.height, data.train.width, data.test, data.mirrored]).toEqual([
    1,
    2,
    2,
    undefined,
    true,
  ]);
  const x = await data.train.load(Uint32Array.of(2, 0));
  expect([...x]).toEqual([160, 180, 200, 220, 0, 20, 40, 60].map((byte) => Math.fround(byte / 127.5 - 1)));
  idx("digits/t10k-images-idx3-ubyte", [1, 2, 2], () => 0);
  expect(await refusal(openData(at("digits"), options))).toBe(
    [
      "error DIT4032: ROOT/digits/t10k-images-idx3-ubyte has no partner",
      "  note: expected t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte in ROOT/digits, each with or without .gz",
      "  help: put both files of the set there",
    ].join("\n"),
  );
  idx("digits/t10k-labels-idx1-ubyte", [1], () => 7);
  expect((await openData(at("digits"), options)).test!.count).toBe(1);
  for (const name of ["images-idx3-ubyte", "labels-idx1-ubyte"]) rmSync(at(`digits/train-${name}`));
  expect(await refusal(openData(at("digits"), options))).toBe(
    [
      "error DIT4032: ROOT/digits has idx files of a test set, and none to train with",
      "  note: expected train-images-idx3-ubyte and train-labels-idx1-ubyte, each with or without .gz",
      "  help: put those files there",
    ].join("\n"),
  );
});

test("a folder of images is opened at the model's size", async () => {
  mkdirSync(at("pets/cats"), { recursive: true });
  await sharp({ create: { width: 9, height: 7, channels: 3, background: "#ff0000" } })
    .png()
    .toFile(at("pets/cats/one.png"));
  const data = await openData(at("pets"), { side: 4, channels: 3 });
  try {
    expect([data.train.channels, data.train.height, data.train.width, data.train.count]).toEqual([3, 4, 4, 1]);
    expect([...(await data.train.load(Uint32Array.of(0)))]).toEqual([...Array(16).fill(1), ...Array(32).fill(-1)]);
  } finally {
    await data.close();
  }
});

test("paths that lead nowhere, and files of other kinds", async () => {
  expect(await refusal(openData(at("nowhere"), options))).toBe(
    [
      "error DIT4060: there is no data ROOT/nowhere",
      "  note: known sets: fashion-mnist, emoji; otherwise a folder of images or idx files, or a .safetensors file of latents",
      "  help: check the path; docs/data.md shows how data may lie",
    ].join("\n"),
  );
  writeFileSync(at("pictures.zip"), "");
  const file = [
    "error DIT4066: ROOT/pictures.zip is a file, and not one of latents",
    "  note: expected a folder, or a .safetensors file of latents",
  ];
  expect(await refusal(openData(at("pictures.zip"), options))).toBe(
    [...file, "  help: name the folder that holds one sub-folder of images for each class"].join("\n"),
  );
  writeFileSync(at("train-images-idx3-ubyte.gz"), "");
  expect(await refusal(openData(at("train-images-idx3-ubyte.gz"), options))).toMatch(
    /help: name the folder that the idx files are in$/,
  );
});

const latents = (more: Record<string, StoredTensor | undefined> = {}, notes: Record<string, string> = {}): string => {
  const tensors: Record<string, StoredTensor | undefined> = {
    latents: { dtype: "F32", shape: [3, 2, 2, 2], data: Float32Array.from({ length: 24 }, (_, i) => i / 4) },
    labels: { dtype: "I64", shape: [3], data: BigInt64Array.of(1n, 0n, 1n) },
    ...more,
  };
  const kept = Object.entries(tensors).filter((entry): entry is [string, StoredTensor] => entry[1] !== undefined);
  writeFileSync(at("latents.safetensors"), writeSafetensors(new Map(kept), notes));
  return at("latents.safetensors");
};

test("latents are read by range, times their scale, and are not mirrored", async () => {
  const values = (index: number, scale: number) => Array.from({ length: 8 }, (_, i) => ((8 * index + i) / 4) * scale);
  const data = await openData(latents({}, { scale: "0.5", classes: '["cat","dog"]', attribution: "by someone" }), options);
  try {
    expect([...(await data.train.load(Uint32Array.of(2, 0)))]).toEqual([...values(2, 0.5), ...values(0, 0.5)]);
    expect([data.train.classes, [...data.train.labels], data.attribution]).toEqual([["cat", "dog"], [1, 0, 1], "by someone"]);
    expect([data.train.channels, data.train.height, data.train.width, data.mirrored]).toEqual([2, 2, 2, false]);
  } finally {
    await data.close();
  }
  expect([mirrors("a.safetensors"), mirrors("emoji"), mirrors("folder")]).toEqual([false, true, true]);

  // Halves, under the other names: 1.5 and -2 in binary16.
  const half = { dtype: "F16", shape: [1, 1, 1, 2], data: Uint16Array.of(0x3e00, 0xc000) } as const;
  const other = {
    latents: undefined,
    labels: undefined,
    x: half,
    y: { dtype: "I32", shape: [1], data: Int32Array.of(2) },
  } as const;
  const halves = await openData(latents(other), options);
  expect([...(await halves.train.load(Uint32Array.of(0)))]).toEqual([1.5, -2]);
  expect(halves.train.classes).toEqual(["0", "1", "2"]);
  await halves.close();
});

test("files of latents that are none", async () => {
  const open = (more: Record<string, StoredTensor | undefined>, notes?: Record<string, string>) =>
    refusal(openData(latents(more, notes), options));
  const help = "  help: docs/data.md shows how to write such a file";
  expect(await open({ labels: undefined })).toBe(
    [
      'error DIT4067: ROOT/latents.safetensors has no tensor "labels"',
      "  note: expected labels or y: I32, I64 [n]",
      "  note: found latents F32 [3, 2, 2, 2]",
      help,
    ].join("\n"),
  );
  expect(await open({ latents: { dtype: "F32", shape: [3, 8], data: new Float32Array(24) } })).toBe(
    [
      'error DIT4067: ROOT/latents.safetensors: tensor "latents" is F32 [3, 8]',
      "  note: expected F32, F16, BF16 [n, channels, height, width]",
      help,
    ].join("\n"),
  );
  expect(await open({ labels: { dtype: "I32", shape: [2], data: new Int32Array(2) } })).toBe(
    [
      "error DIT4067: ROOT/latents.safetensors has 3 latents and 2 labels",
      "  help: give as many labels as latents, at least one",
    ].join("\n"),
  );
  for (const [label, notes, most] of [
    [-1n, {}, 2 ** 20 - 1],
    [2n ** 40n, {}, 2 ** 20 - 1],
    [2n, { classes: '["a","b"]' }, 1],
  ] as const) {
    expect(await open({ labels: { dtype: "I64", shape: [3], data: BigInt64Array.of(0n, label, 0n) } }, notes)).toBe(
      [`error DIT4067: ROOT/latents.safetensors: the label of latent 1 is ${label}, expected 0..${most}`, help].join("\n"),
    );
  }
  expect(await open({}, { classes: "cat, dog" })).toBe(
    [
      "error DIT4067: ROOT/latents.safetensors: the metadata's classes are no JSON array of names",
      '  help: write them like ["cat", "dog"]',
    ].join("\n"),
  );
  expect(await open({}, { scale: "big" })).toBe(
    ['error DIT4067: ROOT/latents.safetensors: the metadata\'s scale is "big", expected a number other than 0', help].join("\n"),
  );
  writeFileSync(at("short.safetensors"), "hello");
  expect(await refusal(openData(at("short.safetensors"), options))).toContain("DIT4010");
});

test("classes of data and model are held against each other", async () => {
  const data = (...classes: string[]) => ({ name: "pets", train: { classes } }) as unknown as DataSet;
  const check = (numClasses: number, ...classes: string[]) =>
    refusal(Promise.resolve().then(() => checkClasses(data(...classes), numClasses)));
  expect(checkClasses(data("a", "b", "c"), 3)).toBeUndefined();
  expect(checkClasses(data("all"), 1)).toBeUndefined();
  expect(checkClasses(data("a", "b"), 10)).toBe(
    "pets has 2 classes, the model 10: it learns nothing of 2..9 (--set numClasses=2 makes a model of these classes)",
  );
  expect(await check(2, "a", "b", "c")).toBe(
    [
      "error DIT4042: pets has 3 classes, the model 2",
      "  note: the classes are a, b, c",
      "  help: --set numClasses=3 makes a model of these classes",
    ].join("\n"),
  );
  expect(await check(10, "cats")).toBe(
    [
      "error DIT4042: pets has one class only, the model 10",
      "  note: the class is cats",
      "  help: --set numClasses=1 makes a model of one class, which draws without a choice; or sort the images into more folders",
    ].join("\n"),
  );
});
