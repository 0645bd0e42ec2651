// `--variants`: other ways of the heavy kernels, applied and measured on a driver; each gives the numbers of the compiler's own.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeBundle } from "../../src/compile/bundle.js";
import { compile } from "../../src/compile/compile.js";
import { readBundle, readVariants } from "../../src/node/read-bundle.js";
import type { Bundle } from "../../src/program/program.js";
import type { Variants } from "../../src/program/variants.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { selectVariants, type VariantChoices, withVariants } from "../../src/runtime/variants.js";
import { freshWeights } from "../../src/trainer/weights.js";
import { sample } from "../gpu/sample.js";

const folder = mkdtempSync(join(tmpdir(), "dit-variants-"));
const options = { preset: "tiny", batch: 4, entries: ["train_step"] } as const;
/** Two sums of the same numbers in another order, through a forward and a backward. */
const BOUND = 1e-5;

let dawn: DawnDevice;
let bundle: Bundle;
let variants: Variants;
beforeAll(async () => {
  dawn = await requestDevice();
  await writeBundle((await compile("models/mlp.graph.ts", { ...options, variants: 3 })).bundle, join(folder, "bundle"));
  bundle = await readBundle(join(folder, "bundle"));
  variants = (await readVariants(join(folder, "bundle"))) as Variants;
});
afterAll(() => {
  dawn?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

test("the file has up to so many ways of each heavy work, and the rest of the bundle is as without", async () => {
  expect(variants.works.length).toBeGreaterThan(1);
  for (const { ways } of variants.works) expect(ways.length).toBe(3);
  const plain = (await compile("models/mlp.graph.ts", options)).bundle;
  await writeBundle(plain, join(folder, "plain"));
  const files = (name: string) => readdirSync(join(folder, name), { recursive: true }) as string[];
  expect(files("bundle").filter((file) => !files("plain").includes(file))).toEqual(["variants.js", "variants.json"]);
  for (const file of ["program.json", "index.js", "kernels.ir"])
    expect(readFileSync(join(folder, "bundle", file), "utf8")).toBe(readFileSync(join(folder, "plain", file), "utf8"));
});

async function gradients(given: Bundle): Promise<{ found: Record<string, ArrayLike<number>>; taken: number }> {
  const session = await createSession(given, dawn.device);
  try {
    for (const [name, w] of freshWeights(given, 1)) await session.write(`p.${name}`, w);
    const inputs = Object.fromEntries(
      given.program.entries[0]!.inputs.filter(({ kind }) => kind === "input").map(({ name, dtype, shape }) => {
        const count = shape.reduce((n: number, size) => n * (typeof size === "number" ? size : options.batch), 1);
        const from = (i: number) => (dtype === "f32" ? Math.sin(i * 0.37) : i % 4);
        return [
          name,
          dtype === "f32"
            ? Float32Array.from({ length: count }, (_, i) => from(i))
            : Int32Array.from({ length: count }, (_, i) => from(i)),
        ];
      }),
    );
    const outputs = await session.run("train_step", inputs);
    const moments = await session.read(session.names.filter((name) => name.startsWith("m.")));
    const taken = session.variants.filter(({ kernel }) => kernel.startsWith("variant-")).length;
    return { found: { ...outputs, ...moments } as Record<string, ArrayLike<number>>, taken };
  } finally {
    session.dispose();
  }
}

test("each gives the numbers of the compiler's own", async () => {
  const own = await gradients(bundle);
  expect(own.taken).toBe(0);
  for (const way of sample("variants", [0, 1, 2], 1)) {
    const choices: VariantChoices = Object.fromEntries(
      sample("works", variants.works, 3).map(({ key, ways }) => [key, ways[way]!.choice]),
    );
    const made = withVariants(bundle, variants, choices);
    expect(made.program.hash).not.toBe(bundle.program.hash);
    const other = await gradients(made);
    expect(other.taken).toBeGreaterThan(0);
    for (const [name, numbers] of Object.entries(own.found)) {
      const values = Array.from(numbers);
      const largest = Math.max(...values.map(Math.abs));
      const apart = Math.max(...values.map((x, i) => Math.abs(x - other.found[name]![i]!)));
      expect(apart, `${name}, way ${way}`).toBeLessThanOrEqual(BOUND * largest);
    }
  }
});

test("they are measured where one asks for it, and what is chosen can be taken", async () => {
  const heard: number[] = [];
  // Two kinds of work: a driver compiles every way of each.
  const some = { ...variants, works: variants.works.slice(0, 2) };
  const { choices, measured } = await selectVariants(bundle, some, dawn.device, {
    rounds: 1,
    onWay: (done) => heard.push(done),
  });
  expect(heard).toEqual([0, 1, 2, 3]);
  expect(Object.keys(measured).sort()).toEqual(some.works.map(({ key }) => key).sort());
  for (const { key, ways } of some.works) {
    expect(measured[key]!.own).toBeGreaterThan(0);
    expect(Object.keys(measured[key]!.ways)).toEqual(ways.map(({ choice }) => choice));
  }
  // Whatever was the fastest: none may have been.
  expect(Object.keys(withVariants(bundle, variants, choices).program.entries)).toHaveLength(1);
});

/** The file with another value at a place. */
function broken(value: unknown, ...path: (string | number)[]): unknown {
  const file: unknown = structuredClone(variants);
  let at = file as Record<string | number, unknown>;
  for (const step of path.slice(0, -1)) at = at[step] as typeof at;
  at[path.at(-1)!] = value;
  return file;
}

test("refused: another program's file, damage, choices that are not there", () => {
  const refused = (file: unknown, message: string) => expect(() => withVariants(bundle, file, {})).toThrow(message);
  refused(undefined, 'this is not a "dit-compile variants"');
  refused(broken("0", "program"), "it belongs to another program");
  refused(broken(2, "version"), "version is 2, this runtime reads 1");
  refused(broken(1e6, "works", 0, "dispatches", 0, "index"), "not all its dispatches do");
  refused(broken(99, "works", 0, "ways", 0, "kernel"), "runs kernel 99");
  refused(broken([], "works", 0, "ways", 0, "runs"), "is not there for every dispatch");
  refused(broken([1], "works", 0, "ways", 0, "runs", 0, "extent"), "has an extent of rank 1");
  refused(broken(-1, "works", 0, "ways", 0, "runs", 0, "uniforms"), "expected a list");
  refused(broken(["read"], "kernels", 0, "access"), "binds otherwise");
  refused(broken(5, "kernels", 0, "words"), "expected a multiple of 4");
  refused(broken("../x", "kernels", 0, "variants", 0, "file"), "expected a path inside the bundle");
  refused(broken({}, "texts"), "which is missing");
  const { key } = variants.works[0]!;
  expect(() => withVariants(bundle, variants, { [key]: "fastest" })).toThrow(`"${key}" has no variant "fastest"`);
  expect(() => withVariants(bundle, variants, { other: "fastest" })).toThrow('there are no variants of "other"');
});

test.each([0, 9, 1.5])("--variants %d is refused", async (count) => {
  await expect(compile("models/mlp.graph.ts", { ...options, variants: count })).rejects.toThrow(
    `DIT1308: variants is ${count}, expected a whole number from 1 to 8`,
  );
});
