/**
 * Runs every `cases/<pass>/*.ir`: the module above the rule `// ----` goes through the pass that the first line names, and what comes
 * out is compared with the text below, whole. `vitest -u` writes the lower half. A case called `leaves-…` must give back the very same
 * module, one called `refuses-…` must throw; the message then stands below. What changes must compute the same as before, in f64.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import { type DenseInput, evaluate } from "../../src/ir/eval.js";
import type { Fn, Module } from "../../src/ir/graph.js";
import { parseModule } from "../../src/ir/parse.js";
import { printModule } from "../../src/ir/print.js";
import { bodyOf, hasGradients } from "../../src/ir/region.js";
import { verify } from "../../src/ir/verify.js";
import { passes } from "../../src/passes/index.js";
import type { Pass, PassOptions } from "../../src/passes/pass.js";
import { evaluate as sizeAt } from "../../src/program/size.js";
import { randomDense, randomOf } from "../ir/samples.js";
import { distance } from "../strays.js";

const root = join(import.meta.dirname, "cases");
const rule = "// ----\n";

/** `// pass: simplify {"differentiated": true}` */
function readHeader(text: string): { pass: Pass; options: PassOptions } {
  const header = /^\/\/ pass: (\S+)(?: (\{.*\}))?$/m.exec(text);
  const pass = passes.find((p) => p.name === header?.[1]);
  if (!pass) throw new Error(`the first line must name a pass of src/passes/index.ts: ${passes.map((p) => p.name).join(", ")}`);
  return { pass, options: JSON.parse(header?.[2] ?? "{}") as PassOptions };
}

function outcome(pass: Pass, module: Module, options: PassOptions): { text: string; after?: Module } {
  try {
    const after = pass.run(module, options);
    verify(after, after.stage, `after ${pass.name}`);
    return { text: printModule(after), after };
  } catch (error) {
    if (!(error instanceof DitError)) throw error;
    return { text: `${error.message.replaceAll(/^/gm, "// ")}\n` };
  }
}

const batch = 2;

/** Positive numbers: roots and logarithms of them are there, and nothing is near a jump. */
function inputsOf(fn: Fn): Map<string, DenseInput> {
  const random = randomOf(3);
  return new Map(
    fn.params.map(({ name, value: { type } }) => {
      const shape = type.shape.map((size) => sizeAt(size, batch));
      return [name, randomDense({ ...type, shape }, type.dtype === "f32" ? [0.5, 2] : [0, 2], random)];
    }),
  );
}

/** Results that are not what they were. A gradient that is still to be taken has no value to compare. */
function changed(before: Module, after: Module): string[] {
  const bodies = new Set(before.fns.flatMap((fn) => fn.nodes.map((node) => bodyOf(before, node))));
  return before.fns.flatMap((fn) => {
    if (hasGradients(fn) || bodies.has(fn)) return [];
    const inputs = inputsOf(fn);
    const run = (module: Module) => evaluate(module, fn.name, inputs, { batch, precision: "f64" });
    const [wanted, found] = [run(before), run(after)];
    return [...wanted].flatMap(([name, { data }]) => {
      const far = distance(found.get(name)?.data ?? [], data);
      return far <= 1e-9 * data.reduce((m, x) => Math.max(m, Math.abs(x)), 1) ? [] : [`@${fn.name}, ${name}: ${far} apart`];
    });
  });
}

const folders = readdirSync(root);
/** At least so many: spellings that are found, and near misses. */
const least: Readonly<Record<string, readonly [turned: number, left: number]>> = {
  "raise-attention": [12, 12],
  "raise-norm": [8, 12],
};

describe.each(folders)("%s", (folder) => {
  const files = readdirSync(join(root, folder)).filter((name) => name.endsWith(".ir"));

  const left = files.filter((name) => name.startsWith("leaves-")).length;
  const turned = files.filter((name) => !/^(leaves|refuses)-/.test(name)).length;

  test(`${turned} cases turn and ${left} are left alone`, () => {
    expect(turned).toBeGreaterThanOrEqual(least[folder]?.[0] ?? 1);
    expect(left).toBeGreaterThanOrEqual(least[folder]?.[1] ?? 1);
  });

  test.each(files)("%s", async (name) => {
    const path = join(root, folder, name);
    const upper = readFileSync(path, "utf8").split(rule)[0]!;
    const { pass, options } = readHeader(upper);
    expect(pass.name).toBe(folder);
    const module = parseModule(upper, name);
    const { text, after } = outcome(pass, module, options);
    expect(after === undefined).toBe(name.startsWith("refuses-"));
    expect(after === module).toBe(name.startsWith("leaves-"));
    if (after) expect(changed(module, after)).toEqual([]);
    await expect(`${upper}${rule}${text}`).toMatchFileSnapshot(path);
  });
});
