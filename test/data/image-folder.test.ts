/** Folders of images: what is found, how files become pixels, and what is said of those that cannot. Threads run the worker of src. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stream } from "../../src/data/batches.js";
import { centreCrop, planes } from "../../src/data/crop.mjs";
import { DecodedImages } from "../../src/data/decoded-images.js";
import { type ImageFolderOptions, openImageFolder } from "../../src/data/image-folder.js";
import type { DataSet } from "../../src/data/source.js";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "dit-images-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const at = (...names: string[]) => join(root, ...names);
const put = (path: string, bytes: Uint8Array | string) => {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), bytes);
};

/** Smooth colours, so that what is lossy stays near. */
const pixel = (x: number, y: number, band: number): number => [5 * x, 255 - 6 * y, 3 * (x + y)][band] ?? 0;
const raster = (width: number, height: number, bands: 1 | 2 | 3 | 4, value = pixel) => {
  const data = Uint8Array.from({ length: width * height * bands }, (_, i) => {
    const p = Math.floor(i / bands);
    return value(p % width, Math.floor(p / width), i % bands);
  });
  return { data, width, height, bands };
};
const encode = ({ data, width, height, bands }: ReturnType<typeof raster>) =>
  sharp(data, { raw: { width, height, channels: bands as 3 } });
const png = (image = raster(40, 30, 3)): Promise<Buffer> => encode(image).png().toBuffer();
/** One colour: an image that can be told by its first byte. */
const plain = (grey: number) => png(raster(9, 9, 3, () => grey));

async function withFolder<T>(
  name: string,
  use: (data: DataSet) => Promise<T>,
  more: Partial<ImageFolderOptions> = {},
): Promise<T> {
  const data = await openImageFolder(at(name), { side: 8, channels: 3, ...more });
  try {
    return await use(data);
  } finally {
    await data.close();
  }
}
const all = async ({ train }: DataSet): Promise<Float32Array> =>
  train.load(Uint32Array.from({ length: train.count }, (_, i) => i));
const bytesOf = (x: Iterable<number>): number[] => Array.from(x, (value) => Math.round((value + 1) * 127.5));
/** Bytes of an image as the source should give them. */
const wanted = (image: ReturnType<typeof raster>, channels: 1 | 3 = 3) => [...planes(centreCrop(image, 8), channels)];
const refusal = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "no error",
    (error: Error) => error.message.replaceAll(root, "ROOT"),
  );

test("classes are sub-folders and images are what lies in them and below, both sorted", async () => {
  const said: string[] = [];
  const files = ["b/2.png", "b/10.PNG", "b/deep/er/1.jpg", "a/z.webp", "Z/1.jpeg"];
  for (const [i, file] of files.entries()) put(`sorted/${file}`, await plain(40 * i));
  put("sorted/a/notes.txt", "nothing");
  put("sorted/.hidden/1.png", "nothing");
  put("sorted/ATTRIBUTION.txt", "by someone\n");
  symlinkSync(at("sorted/a"), at("sorted/c"));
  await withFolder(
    "sorted",
    async (data) => {
      expect(data.train.classes).toEqual(["Z", "a", "b", "c"]);
      expect([...data.train.labels]).toEqual([0, 1, 2, 2, 2, 3]);
      const first = (await all(data)).filter((_, i) => i % 192 === 0);
      expect(bytesOf(first)).toEqual([160, 120, 40, 0, 80, 120]);
      expect([data.mirrored, data.attribution, data.skipped]).toEqual([true, "by someone\n", []]);
      expect([data.train.channels, data.train.height, data.train.width]).toEqual([3, 8, 8]);
    },
    { log: (line) => said.push(line.replaceAll(root, "ROOT")) },
  );
  expect(said).toEqual(["ROOT/sorted: 2 files of other kinds are not used, like a/notes.txt"]);
});

test("each kind of file gives the crop of its pixels", async () => {
  const rgb = raster(40, 30, 3);
  const grey = raster(40, 30, 1);
  const clear = raster(40, 30, 4, (x, y, band) => (band === 3 ? 6 * x : pixel(x, y, band)));
  // Blended in whole numbers, cut.
  const onWhite = raster(40, 30, 3, (x, y, band) => Math.floor((pixel(x, y, band) * 6 * x + 255 * (255 - 6 * x)) / 255));
  // Turned by a quarter to the right: what was on the left is on top.
  const turned = raster(30, 40, 3, (x, y, band) => pixel(y, 29 - x, band));
  const cases: [string, Buffer, ReturnType<typeof raster>, number][] = [
    ["rgb.png", await png(rgb), rgb, 0],
    ["sixteen.png", await encode(rgb).toColourspace("rgb16").png().toBuffer(), rgb, 0],
    ["grey.png", await encode(grey).toColourspace("b-w").png().toBuffer(), grey, 0],
    [
      "palette.png",
      await encode(raster(40, 30, 3, (x) => 64 * (x >> 4)))
        .png({ palette: true })
        .toBuffer(),
      raster(40, 30, 3, (x) => 64 * (x >> 4)),
      0,
    ],
    ["clear.png", await png(clear), onWhite, 0],
    ["rgb.jpg", await encode(rgb).jpeg({ quality: 100, chromaSubsampling: "4:4:4" }).toBuffer(), rgb, 3],
    ["lossless.webp", await encode(rgb).webp({ lossless: true }).toBuffer(), rgb, 0],
    ["lossy.webp", await encode(rgb).webp({ quality: 95 }).toBuffer(), rgb, 8],
    [
      "turned.jpg",
      await encode(rgb).withMetadata({ orientation: 6 }).jpeg({ quality: 100, chromaSubsampling: "4:4:4" }).toBuffer(),
      turned,
      3,
    ],
    ["odd.png", await png(raster(17, 53, 3)), raster(17, 53, 3), 0],
    ["tiny.png", await png(raster(3, 2, 3)), raster(3, 2, 3), 0],
  ];
  for (const [name, bytes] of cases) put(`kinds/one/${name}`, bytes);
  const names = cases.map(([name]) => name).sort();
  for (const channels of [3, 1] as const) {
    const x = bytesOf(await withFolder("kinds", all, { channels }));
    for (const [name, , image, tolerance] of cases) {
      const size = 64 * channels;
      const found = x.slice(names.indexOf(name) * size).slice(0, size);
      const difference = wanted(image, channels).map((byte, i) => Math.abs(byte - found[i]!));
      expect(Math.max(...difference), `${name}, ${channels} channels`).toBeLessThanOrEqual(tolerance);
    }
  }
});

test("the stream is the same at any batch size, with any threads, cache and read-ahead", async () => {
  for (let i = 0; i < 12; i++) put(`stream/${i % 3}/${i}.png`, await plain(20 * i));
  const run = (sizes: readonly number[], ahead: number, more: Partial<ImageFolderOptions>) =>
    withFolder(
      "stream",
      async ({ train }) => {
        const samples = stream(train, { seed: 3, ahead });
        const seen: number[] = [];
        let first = 0;
        for (const n of sizes) {
          const { x, y } = await samples.at(first, n);
          seen.push(...[...y].flatMap((label, k) => [label, bytesOf([x[k * 192]!])[0]!]));
          first += n;
        }
        return seen;
      },
      more,
    );
  const straight = await run([36], 0, {});
  expect(new Set(straight.filter((_, i) => i % 2 === 1)).size).toBe(12);
  expect(await run([5, 5, 5, 5, 5, 5, 6], 2 ** 20, { threads: 3 })).toEqual(straight);
  expect(await run([12, 12, 12], 2 ** 20, { cacheBytes: 0, threads: 1 })).toEqual(straight);
});

test("decoded images stay in memory up to the bound, and are then not read again", async () => {
  for (const i of [0, 1, 2, 3]) put(`cache/a/${i}.png`, await plain(50 * i));
  const paths = [0, 1, 2, 3].map((i) => at(`cache/a/${i}.png`));
  const source = new DecodedImages({
    ...{ paths, labels: new Int32Array(4), classes: ["a"], side: 8, channels: 3, skipped: [] },
    cacheBytes: 2 * 192 + 100,
  });
  try {
    const before = await source.load(Uint32Array.of(2, 0, 2));
    expect(source.cachedBytes).toBe(2 * 192);
    await source.load(Uint32Array.of(1, 3));
    expect(source.cachedBytes).toBe(2 * 192);
    for (const path of paths) rmSync(path);
    expect(await source.load(Uint32Array.of(2, 0, 2))).toEqual(before);
    expect(await refusal(source.load(Uint32Array.of(2, 3, 1)))).toBe(
      [
        "error DIT4064: cannot read the image ROOT/cache/a/3.png",
        "  note: it does not exist",
        "  help: get the file again or remove it; --skip-broken leaves such files out",
      ].join("\n"),
    );
  } finally {
    await source.close();
  }
});

test("a broken image is named with the reason", async () => {
  const photo = await encode(raster(40, 30, 3))
    .jpeg()
    .toBuffer();
  const picture = await png();
  const webp = await encode(raster(40, 30, 3))
    .webp()
    .toBuffer();
  const damaged = Buffer.from(picture);
  damaged[Math.floor(picture.length / 2)]! ^= 0x55;
  const cases: [string, Uint8Array | string, string | RegExp][] = [
    ["cut.jpg", photo.subarray(0, photo.length - 20), "it is damaged or cut short (VipsJpeg: premature end of JPEG image)"],
    ["cut.png", picture.subarray(0, picture.length - 20), "it is damaged or cut short (vipspng: libpng read error)"],
    ["cut.webp", webp.subarray(0, webp.length - 20), /^it is damaged or cut short \(.*webp: unable to parse image\)$/],
    ["damaged.png", damaged, "it is damaged or cut short (vipspng: libpng read error)"],
    ["text.png", "hello", "it is no image of a known kind, whatever its name says"],
    ["empty.png", "", "it is empty"],
  ];
  for (const [name, bytes] of cases) put(`broken/a/${name}`, bytes);
  put("broken/a/whole.png", await plain(1));
  const names = [...cases.map(([name]) => name), "whole.png"].sort();
  await withFolder("broken", async ({ train }) => {
    for (const [name, , reason] of cases) {
      const text = await refusal(train.load(Uint32Array.of(names.indexOf("whole.png"), names.indexOf(name))));
      const [first, note, help] = text.split("\n");
      expect(first).toBe(`error DIT4064: cannot read the image ROOT/broken/a/${name}`);
      expect(note!.slice("  note: ".length)).toMatch(reason);
      expect(help).toBe("  help: get the file again or remove it; --skip-broken leaves such files out");
    }
    expect(train.count).toBe(7);
  });
});

test("broken images that may be skipped are counted, and the next whole one of the class stands for them", async () => {
  for (const [i, name] of ["a/0", "a/1", "a/2", "b/3", "b/4"].entries()) put(`skip/${name}.png`, await plain(10 + i));
  put("skip/a/1.png", "no image");
  put("skip/b/4.png", readFileSync(at("skip/b/3.png")).subarray(0, 60));
  const said: string[] = [];
  await withFolder(
    "skip",
    async (data) => {
      for (let again = 0; again < 2; again++) {
        const first = (await all(data)).filter((_, i) => i % 192 === 0);
        expect(bytesOf(first)).toEqual([10, 12, 12, 13, 13]);
        expect([...data.train.labels]).toEqual([0, 0, 0, 1, 1]);
      }
      expect(data.skipped.map(({ path }) => path.replace(root, "ROOT")).sort()).toEqual([
        "ROOT/skip/a/1.png",
        "ROOT/skip/b/4.png",
      ]);
      expect(data.skipped.find(({ path }) => path.endsWith("1.png"))!.reason).toMatch(/^it is no image/);
    },
    { skipBroken: true, log: (line) => said.push(line.replaceAll(root, "ROOT")) },
  );
  expect(said.sort()[0]).toBe("left out: ROOT/skip/a/1.png: it is no image of a known kind, whatever its name says");
  expect(said).toHaveLength(2);

  for (const name of ["1", "2"]) put(`none/bad/${name}.png`, "no image");
  put("none/good/1.png", await plain(0));
  expect(await refusal(withFolder("none", all, { skipBroken: true }))).toBe(
    [
      'error DIT4065: every image of the class "bad" is broken',
      "  note: ROOT/none/bad/1.png: it is no image of a known kind, whatever its name says",
      "  note: 2 files were tried",
      "  help: get the images of this class again, or remove its folder",
    ].join("\n"),
  );
});

test("folders that hold no such set", async () => {
  const open = (name: string) => refusal(withFolder(name, async () => {}));
  const shape = "  note: expected one sub-folder for each class, with its images in it: FOLDER/cats/one.png, FOLDER/dogs/two.jpg";
  mkdirSync(at("empty"));
  expect(await open("empty")).toBe(
    [
      "error DIT4061: there is no image in ROOT/empty",
      shape,
      "  note: found an empty folder",
      "  help: name another folder; images are PNG, JPEG and WebP files",
    ].join("\n"),
  );
  put("texts/a/one.txt", "");
  put("texts/two.txt", "");
  expect(await open("texts")).toBe(
    [
      "error DIT4061: there is no image in ROOT/texts",
      shape,
      "  note: found 1 sub-folder and 2 files of other kinds",
      "  help: name another folder; images are PNG, JPEG and WebP files",
    ].join("\n"),
  );
  put("loose/one.png", "");
  put("loose/two.jpg", "");
  expect(await open("loose")).toBe(
    [
      "error DIT4062: ROOT/loose has images that are in no class: 2, like one.png",
      shape,
      "  help: for a single class make one sub-folder and move them there",
    ].join("\n"),
  );
  put("loose/cats/three.png", "");
  expect(await open("loose")).toMatch(/help: move them into a class folder, or away$/);
  put("hole/a/one.png", "");
  put("hole/b/two.gif", "");
  mkdirSync(at("hole/c"));
  expect(await open("hole")).toBe(
    [
      "error DIT4063: the class folder ROOT/hole/b has no image",
      "  note: it has other files, like two.gif; images are PNG, JPEG and WebP files",
      "  note: 2 class folders have none: b, c",
      "  help: put images of this class there, or remove the folder",
    ].join("\n"),
  );
  expect(await open("nowhere")).toBe("error DIT4001: cannot read ROOT/nowhere: it does not exist\n  help: check the path");
});
