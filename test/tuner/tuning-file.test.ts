// Tuning files and what becomes of them: merged by adapter and key, refused when damaged, and taken for the very work that they name.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Compiled, compile } from "../../src/compile/compile.js";
import { computationsOf, remakerOf } from "../../src/compile/lower-again.js";
import type { Bundle } from "../../src/program/program.js";
import { evaluate } from "../../src/program/size.js";
import { differenceOf } from "../../src/tuner/beside.js";
import { adapterName, choicesFor, mergeTuning, readTuning, type TunedAdapter } from "../../src/tuner/tuning-file.js";

const folder = mkdtempSync(join(tmpdir(), "dit-tuning-"));
afterAll(() => rmSync(folder, { recursive: true }));

const adapter = (description: string, kernels: TunedAdapter["kernels"]): TunedAdapter => ({
  vendor: "mesa",
  architecture: "",
  description,
  subgroupSize: 8,
  features: ["subgroups"],
  kernels,
});
const fast = { choice: "register-4x4", ownUs: 20, us: 10, tried: 4 };
const own = { ownUs: 20, us: 20, tried: 4 };

describe("the file", () => {
  test("adapters and keys are added, what was measured again is replaced", async () => {
    const path = join(folder, "merge.json");
    await mergeTuning(path, "one", adapter("one", { b: fast, a: own }));
    await mergeTuning(path, "two", adapter("two", { a: fast }));
    await mergeTuning(path, "one", adapter("one", { b: own, c: fast }));
    const { adapters } = await readTuning(path);
    expect(Object.keys(adapters)).toEqual(["one", "two"]);
    expect(adapters.one!.kernels).toEqual({ a: own, b: own, c: fast });
    expect(Object.keys(adapters.one!.kernels)).toEqual(["a", "b", "c"]);
  });

  test("a run that was stopped takes nothing away", async () => {
    const path = join(folder, "stopped.json");
    await mergeTuning(path, "one", adapter("one", { a: fast, b: fast }));
    await mergeTuning(path, "one", adapter("one", { a: { ...own, tried: 0 }, b: { ...own, tried: 3 }, c: { ...own, tried: 0 } }));
    expect((await readTuning(path)).adapters.one!.kernels).toEqual({ a: fast, b: fast });
  });

  test("an adapter is called by its description and the width of its subgroups", () => {
    expect(adapterName(adapter("llvmpipe", {}))).toBe("llvmpipe, subgroups of 8");
    expect(adapterName({ vendor: "apple", architecture: "metal-3", description: "" })).toBe("apple metal-3");
  });

  test.each([
    ["no JSON", "{", "is not JSON"],
    ["something else", "{}", "is not a tuning file of version 1"],
    ["another version", '{"format":"dit-compile tuning","version":2,"adapters":{}}', "version"],
  ])("%s is refused, and left as it is", async (name, text, message) => {
    const path = join(folder, `${name}.json`);
    writeFileSync(path, text);
    await expect(readTuning(path)).rejects.toThrow(message);
    await expect(mergeTuning(path, "one", adapter("one", {}))).rejects.toThrow("DIT7040");
    expect(readFileSync(path, "utf8")).toBe(text);
  });

  test("the choices of the one adapter that is meant", async () => {
    const path = join(folder, "choices.json");
    await mergeTuning(path, "llvmpipe, subgroups of 8", adapter("llvmpipe", { a: fast, b: own }));
    const file = await readTuning(path);
    const { choices, measured } = choicesFor(file, path);
    expect([...choices]).toEqual([["a", "register-4x4"]]);
    expect([...measured]).toEqual(["a", "b"]);
    await mergeTuning(path, "SwiftShader", adapter("SwiftShader", { a: own }));
    const both = await readTuning(path);
    expect(choicesFor(both, path, "Swift").adapter).toBe("SwiftShader");
    expect(() => choicesFor(both, path)).toThrow("has 2 adapters, expected one");
    expect(() => choicesFor(both, path, "Apple")).toThrow('has 0 adapters called "Apple"');
  });
});

describe("the kernels", () => {
  const options = { preset: "tiny", batch: 2, entries: ["forward"] } as const;
  let compiled: Compiled;
  beforeAll(async () => {
    compiled = await compile("models/dit.graph.ts", options);
  });
  const dispatches = ({ program }: Bundle) => program.entries.flatMap((e) => e.segments.flatMap((s) => s.dispatches));
  /** The first variant of each keyed dispatch. */
  const taken = (bundle: Bundle) =>
    new Map(
      dispatches(bundle).flatMap((d) =>
        d.choiceKey ? [[d.choiceKey, bundle.program.kernels[d.kernel]!.variants[0]!.name]] : [],
      ),
    );

  test("are made again from the bundle, the same", () => {
    const { bundle } = compiled;
    const again = remakerOf(bundle, "forward", 2).make({});
    expect(again.wgsl).toEqual(bundle.wgsl);
    // Printing gives values of one name different ones.
    const bare = (made: Bundle) => dispatches(made).map(({ label: _, ...rest }) => rest);
    expect(bare(again)).toEqual(bare(bundle));
    const { kernels, parameters, constants } = bundle.program;
    expect(again.program).toMatchObject({ kernels, parameters, constants });
  });

  test("a choice is for the work that has its key, in the bundle as from the model", async () => {
    const { bundle } = compiled;
    const before = taken(bundle);
    const [key] = [...before].find(([, variant]) => /^(subgroup|quad)-/.test(variant))!;
    expect(key).toMatch(/^matmul \d+x\d+x\d+ (of \d+ )?[nt][nt] .*#[0-9a-f]{8}$/);
    const tuning = new Map([[key, "register-4x4"]]);
    const tuned = remakerOf(bundle, "forward", 2).make({ tuning });
    expect([...taken(tuned)].filter(([k, variant]) => before.get(k) !== variant)).toEqual([[key, "register-4x4"]]);
    const fromModel = await compile("models/dit.graph.ts", { ...options, tuning });
    expect(fromModel.bundle.wgsl).toEqual(tuned.wgsl);
    expect(fromModel.bundle.program.hash).not.toBe(bundle.program.hash);
  });

  test("of a bundle that was compiled with one design for all, too", async () => {
    const { bundle } = await compile("models/dit.graph.ts", { ...options, choices: { matmul: "workgroup-32x32-k8" } });
    const own = remakerOf(bundle, "forward", 2).make({});
    expect(own.wgsl).toEqual(compiled.bundle.wgsl);
    const [key] = [...taken(own)].find(([, variant]) => /^(subgroup|quad)-/.test(variant))!;
    const tuned = remakerOf(bundle, "forward", 2).make({ tuning: new Map([[key, "register-4x4"]]) });
    expect(taken(tuned).get(key)).toBe("register-4x4");
  });

  test("of one whose products take two dispatches each: the same for a check, and undivided for the next tuning", async () => {
    const trained = { preset: "tiny", batch: 16, entries: ["loss_and_grad"] } as const;
    const own = (await compile("models/dit.graph.ts", trained)).bundle;
    const keys = [...taken(own).keys()].filter((key) => /^matmul \d+x\d+x256 tn/.test(key));
    expect(keys.length).toBeGreaterThan(1);
    const { bundle } = await compile("models/dit.graph.ts", {
      ...trained,
      tuning: new Map(keys.map((key) => [key, "split-k-64x64"])),
    });
    expect(dispatches(bundle).length).toBeGreaterThanOrEqual(dispatches(own).length + keys.length);
    // All that is to be done is done by the two together.
    const all = (made: Bundle, of: "macs" | "flops" | "read" | "written") =>
      dispatches(made).reduce((sum, { work }) => sum + evaluate(work[of], 16), 0);
    for (const of of ["macs", "flops", "read", "written"] as const) expect(all(bundle, of)).toBe(all(own, of));
    expect(computationsOf(bundle).get("loss_and_grad")).toHaveLength(dispatches(bundle).length);
    expect(remakerOf(bundle, "loss_and_grad", 16).make({}).wgsl).toEqual(own.wgsl);
  });

  test("refused: no IR, IR of something else, a choice that is none, no such entry", async () => {
    const { bundle } = compiled;
    const { ir: _, ...bare } = bundle;
    expect(() => remakerOf(bare, "forward", 2)).toThrow("DIT1306");
    expect(() => remakerOf({ ...bundle, ir: "// made by: {" }, "forward", 2)).toThrow("DIT1306: kernels.ir is damaged");
    const other = await compile("models/mlp.graph.ts", { entries: ["forward"] });
    expect(() => remakerOf({ ...bundle, ir: other.bundle.ir! }, "forward", 2)).toThrow("DIT1306");
    expect(() => remakerOf(bundle, "train", 2)).toThrow('the bundle has no entry "train"');
    await expect(compile("models/dit.graph.ts", { ...options, tuning: new Map([["a", "fastest"]]) })).rejects.toThrow(
      'the tuning of "a" is "fastest", which is no choice',
    );
  });
});

test("numbers are right up to the order of sums, and a NaN is wrong", () => {
  const expected = new Map([["out", [1, -2, 0.5]]]);
  expect(differenceOf(expected, new Map([["out", [1.000001, -2, 0.5]]]))).toBeUndefined();
  expect(differenceOf(expected, new Map([["out", [1, -2, 0.6]]]))).toBe("out differs by 5.0e-2 of its largest number");
  expect(differenceOf(expected, new Map([["out", [1, Number.NaN, 0.5]]]))).toContain("out differs by Infinity");
  // What is no number, or endless, on both sides hides nothing that stands beside it.
  const odd = new Map([["out", [Number.NaN, Infinity, 2, 0.5]]]);
  expect(differenceOf(odd, odd)).toBeUndefined();
  expect(differenceOf(odd, new Map([["out", [Number.NaN, Infinity, 2, 0.6]]]))).toBe(
    "out differs by 5.0e-2 of its largest number",
  );
  expect(differenceOf(odd, new Map([["out", [Number.NaN, -Infinity, 2, 0.5]]]))).toContain("out differs by Infinity");
});
