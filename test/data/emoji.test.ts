/** The emoji set, made of packages that a test writes: three classes, two styles with skin tones, one without a table of its own. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { emojiAttribution } from "../../src/data/emoji-packages.js";
import { openData } from "../../src/data/open.js";

let cache: string;
beforeAll(() => {
  cache = mkdtempSync(join(tmpdir(), "dit-emoji-"));
  vi.stubEnv("DIT_COMPILE_CACHE", cache);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(cache, { recursive: true, force: true });
});

const options = { side: 4, channels: 3 } as const;

test("without leave to fetch them, the emoji that are not there are an error", async () => {
  await expect(openData("emoji", options)).rejects.toThrow(
    [
      `error DIT4034: the emoji are not in ${join(cache, "emoji")}`,
      "  note: they are drawings in npm packages, about 14 MB: Noto (Apache-2.0), Fluent (MIT), Twemoji (CC-BY-4.0)",
      "  help: allow the download: `dit-compile train --data emoji` does",
    ].join("\n"),
  );
  expect(readdirSync(cache)).toEqual([]);
});

test("a download that fails says why and leaves nothing behind", async () => {
  vi.stubEnv("npm_execpath", "");
  vi.stubEnv("PATH", "");
  try {
    await expect(openData("emoji", { ...options, download: true })).rejects.toThrow(
      /^error DIT4035: the emoji could not be fetched\n {2}note: .*npm.*\n {2}help: check that npm reaches its registry, and the free space$/,
    );
  } finally {
    vi.unstubAllEnvs();
    vi.stubEnv("DIT_COMPILE_CACHE", cache);
  }
  expect(readdirSync(cache)).toEqual([]);
});

test("classes by subgroup, halves by design, whatever the style and the skin tone", async () => {
  const put = (path: string, value: unknown) => {
    mkdirSync(join(cache, "emoji", path, ".."), { recursive: true });
    writeFileSync(join(cache, "emoji", path), typeof value === "string" ? value : JSON.stringify(value));
  };
  // Five hearts, six hands with two tones each, and a flag, which is in no class.
  const hearts = ["2764", "1f494", "1f495", "1f496", "1f497"];
  const hands = ["1f44b", "1f44c", "1f44d", "1f44e", "1f44f", "1f450"];
  put("emojibase-data/groups.json", { subgroups: { 1: "heart", 2: "hand-fingers-open", 3: "country-flag" } });
  put("emojibase-data/data.json", [
    ...hearts.map((code) => ({ hexcode: code === "2764" ? "2764-FE0F" : code.toUpperCase(), subgroup: 1 })),
    ...hands.map((code) => ({
      hexcode: code.toUpperCase(),
      subgroup: 2,
      skins: ["1F3FB", "1F3FF"].map((tone) => ({ hexcode: `${code.toUpperCase()}-${tone}` })),
    })),
    { hexcode: "1F1E6", subgroup: 3 },
    { hexcode: "1F1E7" },
  ]);
  const square = (colour: string) => ({ body: `<path fill="${colour}" d="M0 0h8v8H0z"/>` });
  const hex = (n: number) => `#${n.toString(16).padStart(2, "0")}0000`;
  const toned = hands.flatMap((code) => [code, `${code}-1f3fb`, `${code}-1f3ff`]);
  const set = (codes: readonly string[], first: number) => ({
    width: 8,
    height: 8,
    icons: Object.fromEntries([
      ...codes.map((code, i) => [`icon-${code}`, square(hex(first + i))]),
      ["icon-1f1e6", square("#000")],
      ["unknown", square("#000")],
    ]) as Record<string, unknown>,
  });
  const chars = (codes: readonly string[]) => Object.fromEntries([...codes, "1f1e6"].map((code) => [code, `icon-${code}`]));
  put("noto/icons.json", set([...hearts, ...toned], 0));
  put("noto/chars.json", chars([...hearts, ...toned]));
  put("twemoji/icons.json", set(hearts, 100));
  put("twemoji/chars.json", chars(hearts));
  put("noto-v1/icons.json", set(toned, 200));
  put("noto-v1/chars.json", {});
  // Half as high as wide: white above and below.
  put("fluent-emoji-flat/icons.json", { width: 8, height: 8, icons: { flat: { ...square("#ff0000"), height: 4 } } });
  put("fluent-emoji-flat/chars.json", { "1f44b": "flat" });
  put("ATTRIBUTION.txt", emojiAttribution);

  const said: string[] = [];
  const open = () => openData("emoji", { ...options, log: (line) => said.push(line) });
  const { train, test: held, attribution, mirrored, close } = await open();
  await close();
  expect(said).toEqual(["drawing 47 emoji of 4 x 4 pixels, once"]);
  expect([train.classes.length, train.classes[4], train.classes[8]]).toEqual([10, "hands", "hearts"]);
  const first = async (source: typeof train) => {
    const x = await source.load(Uint32Array.from({ length: source.count }, (_, i) => i));
    return Array.from({ length: source.count }, (_, i) => [source.labels[i], Math.round((x[48 * i]! + 1) * 127.5)]);
  };
  // The fifth design of a class, in the order of code points: the heart 2764 and the hand 1f44f.
  const [tested, trained] = [await first(held!), await first(train)];
  expect(tested).toEqual([
    [8, 0],
    [4, 17],
    [4, 18],
    [4, 19],
    [8, 100],
    [4, 212],
    [4, 213],
    [4, 214],
  ]);
  expect([tested.length + trained.length, trained.filter(([label]) => label === 8).length]).toEqual([47, 8]);
  expect(trained.find(([, red]) => red === 255)).toEqual([4, 255]);
  expect([attribution, mirrored]).toEqual([emojiAttribution, true]);
  for (const licence of ["CC-BY-4.0", "Apache-2.0", "MIT"]) expect(attribution).toContain(licence);

  // Drawn once; a damaged file of the cache is drawn again; grey is made of the same pixels.
  await open();
  expect(said).toHaveLength(1);
  const file = join(cache, "emoji/side-4.safetensors");
  expect(existsSync(file)).toBe(true);
  writeFileSync(file, "hello");
  await open();
  expect(said).toHaveLength(2);
  const grey = (await openData("emoji", { side: 4, channels: 1 })).train;
  expect([grey.channels, grey.count]).toEqual([1, train.count]);
  const red = trained.findIndex(([, value]) => value === 255);
  const flat = [...(await grey.load(Uint32Array.of(red)))].map((value) => Math.round((value + 1) * 127.5));
  expect(flat).toEqual([...Array(4).fill(255), ...Array(8).fill(76), ...Array(4).fill(255)]);
});
