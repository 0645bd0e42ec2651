// Which designs `tune` tries for which work: only those that the device would run under that name, and no text twice.
import { beforeAll, describe, expect, test } from "vitest";
import { matmulChoices } from "../../src/codegen/kernels/matmul.js";
import { compile } from "../../src/compile/compile.js";
import { type Remaker, remakerOf } from "../../src/compile/lower-again.js";
import type { Bundle } from "../../src/program/program.js";
import type { DeviceFacts } from "../../src/runtime/device.js";
import { Untried } from "../../src/tuner/untried.js";

const BATCH = 4;
/** A GPU without matrix units. */
const facts: DeviceFacts = {
  features: new Set(["subgroups", "shader-f16", "timestamp-query"]),
  limits: {},
  subgroupSize: 32,
  hardware: true,
};

let make: Remaker["make"];
let own: Bundle;
let keys: string[];
beforeAll(async () => {
  const options = { preset: "tiny", batch: BATCH, entries: ["train_step"] } as const;
  const { bundle } = await compile("models/dit.graph.ts", options);
  ({ make } = remakerOf(bundle, "train_step", BATCH));
  own = make({});
  keys = [...new Set(dispatchesOf(own).flatMap(({ choiceKey }) => choiceKey ?? []))];
});

const dispatchesOf = ({ program }: Bundle) => program.entries[0]!.segments.flatMap((segment) => segment.dispatches);
const allBy = (choice: string): Bundle => make({ tuning: new Map(keys.map((key) => [key, choice])) });
/** Names and texts of all variants of the first dispatch of each work, and its sizes. */
const worksOf = (made: Bundle) =>
  new Map(
    keys.map((key) => {
      const { kernel } = dispatchesOf(made).find(({ choiceKey }) => choiceKey === key)!;
      const { variants } = made.program.kernels[kernel]!;
      const [rows, columns] = /^matmul (\d+)x(\d+)x/.exec(key)!.slice(1).map(Number) as [number, number];
      return [key, { rows, columns, names: variants.map((v) => v.name), texts: variants.map((v) => made.wgsl[v.file]!) }];
    }),
  );

describe("a design that does not apply", () => {
  test("leaves the choice to the compiler, few rows included", () => {
    // Nothing is stored in f16 here.
    const [before, after] = [worksOf(own), worksOf(allBy("matrix-64x64-k2"))];
    expect([...before.values()].some(({ names }) => names.some((name) => name.startsWith("few-")))).toBe(true);
    expect(after).toEqual(before);
  });

  test("is that of few rows where rows and columns are many", () => {
    const before = worksOf(own);
    const applied = [...worksOf(allBy("few-rows"))].filter(([key, { rows, columns, names, texts }]) => {
      if (rows > 16 && columns > 4) expect(texts, key).toEqual(before.get(key)!.texts);
      return names.length === 1 && names[0]!.startsWith("few-");
    });
    expect(applied.length).toBeGreaterThan(0);
    expect(applied.length).toBeLessThan(keys.length);
  });
});

describe("what is tried", () => {
  test("is of that design by the name of what the device takes, and no text twice", () => {
    const untried = new Untried(own, facts);
    const seen = new Set<string>();
    const counts = new Map<string, number>();
    for (const { name } of matmulChoices) {
      const made = allBy(name);
      const { keys: news } = untried.of(name, made, keys);
      counts.set(name, news.length);
      untried.note(news, made);
      for (const [key, { names }] of [...worksOf(made)].filter(([k]) => news.includes(k))) {
        const family = name.startsWith("subgroup-") ? "subgroup-32" : name === "few-rows" ? "few-" : name;
        expect(
          names.some((n) => n.startsWith(family)),
          `${name} for ${key}`,
        ).toBe(true);
        seen.add(key);
      }
      // What was noted is no news any more.
      expect(untried.of(name, made, keys).keys).toEqual([]);
    }
    expect(seen.size).toBe(keys.length);
    for (const [name, count] of counts) {
      if (name.startsWith("matrix-")) expect(count, name).toBe(0);
      if (name.startsWith("workgroup-")) expect(count, name).toBeGreaterThan(0);
    }
  });

  test("nothing where the device would take what stands behind the design", () => {
    // Subgroups of no fixed width: the form for one width is there, and not taken.
    const untried = new Untried(own, { ...facts, subgroupSize: undefined });
    expect(untried.of("subgroup-inline", allBy("subgroup-inline"), keys).keys).toEqual([]);
  });

  test("the best design with its sizes in the text, whatever it is called", () => {
    const untried = new Untried(own, facts);
    expect(untried.of("baked", allBy("baked"), keys).keys.length).toBeGreaterThan(0);
    const apart = allBy("workgroup-32x32-k8+baked");
    expect(untried.of("workgroup-32x32-k8+baked", apart, keys).keys.length).toBeGreaterThan(0);
  });

  test("no text that is too long", () => {
    const untried = new Untried(own, facts);
    const made = allBy("register-4x4");
    const long = {
      ...made,
      wgsl: Object.fromEntries(Object.entries(made.wgsl).map(([file, text]) => [file, `${text}${" ".repeat(60_000)}`])),
    };
    const found = untried.of("register-4x4", long, keys);
    expect(found.keys).toEqual([]);
    expect(found.tooLong).toBeGreaterThan(0);
  });
});
