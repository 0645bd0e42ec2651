/**
 * The command as it is built, where TypeScript has a thread of its own: what it finds goes before all that came of the model, which runs
 * meanwhile, and nothing is written or printed of a model whose types are wrong. The words are those of one thread, as tests from source
 * have it.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dit } from "./capture.js";

const root = join(import.meta.dirname, "../..");
const main = join(root, "dist/cli/main.js");
const folder = mkdtempSync(join(tmpdir(), "dit-built-"));
const at = (name: string) => join(folder, name);

const mlp = readFileSync(join(root, "models/mlp.graph.ts"), "utf8");
const files = {
  "right.graph.ts": mlp,
  // It would compile.
  "types.graph.ts": `${mlp}\nexport const six: number = "six";\n`,
  "both.graph.ts": 'throw new Error("ran");\nexport const six: number = "six";\nexport default 1;\n',
  "throws.graph.ts": 'throw new Error("not today");\nexport default 1;\n',
  "torn.graph.ts": `${mlp}\nexport const six = (;\n`,
};

beforeAll(() => {
  expect(existsSync(main), "npm run build comes first").toBe(true);
  for (const [name, text] of Object.entries(files)) writeFileSync(at(name), text);
});
afterAll(() => rmSync(folder, { recursive: true }));

function built(args: readonly string[], ...flags: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, main, ...args], { cwd: root, encoding: "utf8" });
  return { code: status, out: stdout, err: stderr };
}

describe("what is said", { timeout: 120_000 }, () => {
  test.each([
    ["types.graph.ts", /types\.graph\.ts:\d+:14: error DIT1002: Type 'string' is not assignable to type 'number'\. \(TS2322\)/],
    ["both.graph.ts", /both\.graph\.ts:2:14: error DIT1002: Type 'string' is not assignable to type 'number'\. \(TS2322\)/],
    ["throws.graph.ts", /throws\.graph\.ts:1:\d+: error DIT1005: the model file threw Error: not today/],
    ["torn.graph.ts", /torn\.graph\.ts:\d+:21: error DIT1002: Expression expected\. \(TS1109\)/],
  ])("%s", async (name, said) => {
    const args = [at(name), "--preset", "tiny", "--print-after", "all", "-o", at("out")];
    const found = built(args);
    expect([found.code, found.out]).toEqual([1, ""]);
    expect(found.err).toMatch(said);
    expect(found).toEqual(await dit(...args));
    expect(existsSync(at("out"))).toBe(false);
  });

  test("as JSON", () => {
    const { code, out } = built([at("both.graph.ts"), "--json"]);
    const { error } = JSON.parse(out) as { error: readonly { code: string; line: number }[] };
    expect([code, error.map((e) => [e.code, e.line])]).toEqual([1, [["DIT1002", 2]]]);
  });

  test("of a model that is right: the same bundle and report", async () => {
    const args = (to: string) => [at("right.graph.ts"), "--preset", "tiny", "--json", "-o", at(to)];
    const [there, here] = [built(args("there")), await dit(...args("here"))];
    expect(there.out).toBe(here.out.replace(at("here"), at("there")));
    // V8 complains there of a flag that it does not know.
    expect(there.err).toMatch(/^wrote .*\n$/);
    for (const file of ["program.json", "kernels.ir"])
      expect(readFileSync(join(at("there"), file), "utf8")).toBe(readFileSync(join(at("here"), file), "utf8"));
  });
});

test("the thread answers in order: the model runs while its types are checked", { timeout: 120_000 }, async () => {
  const { ask } = (await import(join(root, "dist/frontend/thread.js"))) as typeof import("../../src/frontend/thread.js");
  const question = { path: at("types.graph.ts"), shown: "types.graph.ts" };
  const order: string[] = [];
  const [reading, problems] = await Promise.all(
    (["read", "check"] as const).map((name) => ask(name, question).finally(() => order.push(name))),
  );
  expect(order).toEqual(["read", "check"]);
  expect(reading).toMatchObject({ parsed: true });
  expect(problems).toMatchObject([{ code: "DIT1002" }]);
  // What fails there fails here, and the thread goes on.
  await expect(ask("read", { path: at("absent.graph.ts"), shown: "absent.graph.ts" })).rejects.toThrow("absent.graph.ts");
  expect(await ask("check", { path: at("right.graph.ts"), shown: "right.graph.ts" })).toEqual([]);
});

test("commands that compile nothing load neither TypeScript nor a thread for it", { timeout: 120_000 }, () => {
  writeFileSync(
    at("loaded.cjs"),
    [
      'const { writeSync } = require("node:fs");',
      'if (!require("node:worker_threads").isMainThread) writeSync(2, "a thread");',
      'process.on("exit", () => writeSync(2, Object.keys(require.cache).filter((f) => /ts-morph|typescript/.test(f)).join()));',
    ].join("\n"),
  );
  const head = JSON.stringify({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4] } });
  const length = Buffer.alloc(8);
  length.writeUInt32LE(head.length);
  writeFileSync(at("one.safetensors"), Buffer.concat([length, Buffer.from(head), Buffer.alloc(4)]));
  expect(built([at("right.graph.ts"), "--preset", "tiny"], "-r", at("loaded.cjs")).err).toContain("a thread");
  for (const args of [["--help"], ["--version"], ["doctor", "--help"], ["inspect", at("one.safetensors")]]) {
    const { code, err } = built(args, "-r", at("loaded.cjs"));
    expect([args, code, err.trim()]).toEqual([args, 0, ""]);
  }
});
