// The compile command: what it prints, what it refuses, and that it writes only when it is told to.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { errorMessage } from "../../src/cli/io.js";
import { compile } from "../../src/compile/compile.js";
import { parseModule } from "../../src/ir/parse.js";
import { printModule } from "../../src/ir/print.js";
import { webLimits } from "../../src/program/program.js";
import { dit, model } from "./capture.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "dit-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

/** Every file of a folder with its bytes. */
function contents(dir: string): Record<string, string> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  return Object.fromEntries(
    files.map((f) => [join(f.parentPath, f.name).slice(dir.length), readFileSync(join(f.parentPath, f.name), "base64")]),
  );
}

test("two runs write the same bytes", async () => {
  const args = [model("dit"), "--preset", "tiny", "--set", "respacing=10", "--batch", "2"];
  expect((await dit(...args, "-o", at("one"))).code).toBe(0);
  const second = await dit(...args, "-o", at("two"));
  expect(second.code).toBe(0);
  expect(second.err).toMatch(/^wrote .*two: \d+ files, program [0-9a-f]{12}\n$/);
  const one = contents(at("one"));
  expect(Object.keys(one).sort()).toEqual(
    expect.arrayContaining(["/constants.bin", "/index.d.ts", "/index.js", "/program.json"]),
  );
  expect(one).toEqual(contents(at("two")));
});

describe("--emit", () => {
  const tiny = (...more: string[]) => dit(model("mlp"), "--preset", "tiny", "--entry", "forward", ...more);

  test("ir parses back", async () => {
    const { out } = await tiny("--emit", "ir");
    expect(printModule(parseModule(out))).toBe(out);
  });

  test("wgsl has every kernel under a header, plan every dispatch", async () => {
    const [wgsl, plan] = [await tiny("--emit", "wgsl"), await tiny("--emit", "plan", "--batch", "3")];
    expect(wgsl.out).toMatch(
      /^\/\/ ---- kernels\/000-\S+\.wgsl\n\/\/ family \w+, variant \S+, needs .*\n\/\/ run by forward × 1$/m,
    );
    expect(plan.out).toContain("plan of MLP tiny, batch 3");
    expect(plan.out).toMatch(/^ +\d+ +input +forward\.x +\d+ +0 +192 +64\*B +forward 0\.\.\d+$/m);
    expect(plan.out).toMatch(/^ +0 +000-\S+ .*models\/mlp\.graph\.ts:\d+:\d+$/m);
  });

  test("--print-after prints the IR in between, all of it with all", async () => {
    const one = await tiny("--print-after", "cse");
    expect(one.out).toMatch(/^\/\/ after cse\nmodule graph\n/);
    expect(one.out.match(/^\/\/ after /gm)).toHaveLength(1);
    const all = await tiny("--print-after", "all");
    expect([...all.out.matchAll(/^\/\/ after (\S+)$/gm)].map((m) => m[1]).slice(0, 2)).toEqual(["trace", "raise-attention"]);
  });

  test("--choose takes one way of a family, and is part of the program", async () => {
    const forward = (...more: string[]) => dit(model("dit"), "--preset", "tiny", "--entry", "forward", "--emit", "wgsl", ...more);
    const usual = await forward();
    expect(usual.out).toMatch(/^\/\/ family attention, /m);
    const chosen = await forward("--choose", "matmul=workgroup-64x64", "--choose", "attention=unfused");
    expect(chosen.out).not.toMatch(/^\/\/ family attention, /m);
    const variants = [...chosen.out.matchAll(/^\/\/ family matmul, variant (\S+), needs (.*), tile/gm)];
    expect(new Set(variants.map(([, name, needs]) => `${name} ${needs}`))).toEqual(
      new Set(["workgroup-64x64 a GPU", "workgroup-64x64-looped nothing"]),
    );
  });

  test("--safe makes kernels without variants of any kind", async () => {
    const { out } = await tiny("--safe", "--emit", "wgsl");
    expect(out).not.toContain("subgroup");
    // No threads that share memory either; the sum of squares has one thread, and its text is the only one that it has.
    const { bundle } = await compile(model("dit"), { preset: "tiny", safe: true });
    const shared = bundle.program.kernels.filter((k) => k.variants.some((v) => bundle.wgsl[v.file]!.includes("var<workgroup>")));
    expect(shared.map((k) => k.family)).toEqual(["squares"]);
  });
});

describe("--target FILE", () => {
  test("is a profile as doctor writes it, and is part of the program", async () => {
    const limits = { ...webLimits, maxStorageBufferBindingSize: 2 ** 30, maxBufferSize: 2 ** 31, maxTextureDimension2D: 8192 };
    writeFileSync(
      at("gpu.json"),
      JSON.stringify({ features: ["subgroups", "bgra8unorm-storage"], limits, subgroupMinSize: 8, subgroupMaxSize: 8 }),
    );
    const result = await dit(model("mlp"), "--preset", "tiny", "-e", "forward", "--target", at("gpu.json"), "-o", at("profiled"));
    expect(result.code).toBe(0);
    expect(result.out).toMatch(/^target +gpu$/m);
    const { profile } = JSON.parse(readFileSync(join(at("profiled"), "program.json"), "utf8"));
    expect(profile).toMatchObject({ name: "gpu", features: ["subgroups"], subgroupSize: 8, limits: { maxBufferSize: 2 ** 31 } });
    expect(profile.limits).not.toHaveProperty("maxTextureDimension2D");
  });

  test.each([
    ["[", "is not JSON"],
    ["[]", "is not a limits profile"],
    ['{"features": [], "limits": {"maxBufferSize": 3}}', "limit maxBufferSize is 3, WebGPU guarantees 268435456"],
    ['{"features": 1, "limits": {"maxBufferSize": "x"}}', '"features" is 1, expected a list of names'],
  ])("refuses %s", async (text, message) => {
    writeFileSync(at("bad.json"), text);
    const { code, out, err } = await dit(model("mlp"), "--target", at("bad.json"));
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain(message);
    expect(err).toContain("doctor --profile");
  });
});

describe("bad input is one clear error, exit code 1, and nothing written", () => {
  test.each([
    [["--preset", "DiT-X/2"], 'error DIT1101: DiT has no preset "DiT-X/2"', "did you mean"],
    [["--set", "hidenSize=3"], 'DiT has no setting "hidenSize"', "did you mean hiddenSize?"],
    [["--set", "depth"], "--set depth: expected key=value", ""],
    [["--set", "depth=many"], "depth is a number", ""],
    [["--preset", "tiny", "--set", "numHeads=5"], "numHeads 5 does not divide hiddenSize 64", "--set"],
    [["--preset", "tiny", "--set", "depth=-1"], "depth is -1, expected a whole number from 1", "--set"],
    [["--preset", "tiny", "--set", "learningRate=-1"], "learningRate is -1, expected more than 0", "--set"],
    [["--batch", "0"], "--batch 0: expected a whole number from 1", ""],
    [["--batch", "two"], "--batch two: expected a whole number from 1", ""],
    [["--preset", "tiny", "--batch", "100000000"], "needs 102400000000 bytes at batch 100000000", "a smaller batch may fit"],
    [["--entry", "forwrd"], 'DiT has no entry "forwrd"', "did you mean forward?"],
    [["--target", "wbe"], 'there is no target "wbe"', "web, minimum"],
    [["--target", "./no-such.json"], "cannot read ./no-such.json", "check the path"],
    [["--emit", "asm"], "argument 'asm' is invalid", "ir, wgsl, plan, report"],
    [["--print-after", "fues"], "there is no such pass", "did you mean"],
    [["--choose", "matmul=wokgroup-64x64"], 'matmul has no choice "wokgroup-64x64"', "matmul=workgroup-64x64"],
    [["--choose", "matmull=few-rows"], 'there is nothing to choose for "matmull"', "attention=unfused"],
    [["--choose", "matmul"], "--choose matmul: expected family=choice", ""],
    [["--prset", "tiny"], "unknown option '--prset'", "--preset"],
  ] as const)("%j", async (flags, message, help) => {
    const out = at("never");
    const result = await dit(model("dit"), "-o", out, ...flags);
    expect(result.code).toBe(1);
    expect(result.out).toBe("");
    expect(result.err).toContain(message);
    expect(result.err).toContain(help);
    expect(result.err).toMatch(/error DIT\d{4}: /);
    expect(result.err).not.toMatch(/^ +at |internal error/m);
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("no file, no model, a misspelt command", async () => {
    writeFileSync(at("no.graph.ts"), "export const x = 1;\n");
    writeFileSync(at("broken.graph.ts"), "export default (;\n");
    const cases = [
      [["nowhere.graph.ts"], "there is no file nowhere.graph.ts"],
      [[at("no.graph.ts")], "has no default export"],
      [[at("broken.graph.ts")], "broken.graph.ts:1:"],
      [["docter"], 'did you mean "doctor"?'],
      [[], "missing required argument 'model'"],
      [[model("mlp"), "surplus"], "too many arguments"],
    ] as const;
    for (const [args, message] of cases) {
      const { code, err } = await dit(...args);
      expect(code).toBe(1);
      expect(err).toContain(message);
    }
  });
});

test("--help and --version end with 0", async () => {
  expect((await dit("--help")).out).toContain("Commands:");
  expect(await dit("--version")).toEqual({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), err: "" });
});

test("an exception of our own says that it is a bug, with its stack only on request", () => {
  const bug = new TypeError("x is not a function");
  expect(errorMessage(bug)).toMatch(/^internal error: x is not a function\nThis is a bug in dit-compile/);
  expect(errorMessage(bug)).not.toContain("compile.test");
  vi.stubEnv("DIT_COMPILE_STACK", "1");
  expect(errorMessage(bug)).toContain("compile.test");
  vi.unstubAllEnvs();
});
