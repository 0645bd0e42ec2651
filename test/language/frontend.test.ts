/** From files to models: places and names on nodes, imports, and what is said when a file is wrong. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as library from "dit-compile";
import { afterAll, describe, expect, test } from "vitest";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import { parseSettings } from "../../src/dsl/settings.js";
import { trace } from "../../src/dsl/trace.js";
import { withModel } from "../../src/frontend/load.js";
import type { Fn } from "../../src/ir/graph.js";
import { printFn } from "../../src/ir/print.js";

const folder = mkdtempSync(join(tmpdir(), "dit-frontend-"));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;

/** Writes files into a folder of their own; the path of the first. */
function write(files: Readonly<Record<string, string>>): string {
  const home = join(folder, String(count++));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    writeFileSync(join(home, name), text);
  }
  return join(home, Object.keys(files)[0]!);
}
const loadFile = (path: string) => withModel(path, { library }, ({ definition }) => definition);
const load = (files: Readonly<Record<string, string>>) => loadFile(write(files));
const forward = (files: Readonly<Record<string, string>>): Promise<Fn> =>
  withModel(write(files), { library }, ({ definition }) => {
    const model = definition.configured(parseSettings(definition).config);
    return trace("forward", () => model.forward(model.declare())).fn;
  });
async function refusal(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
  } catch (error) {
    if (error instanceof DitError) return error.message;
    throw error;
  }
  return "accepted";
}

/** A model file around the body of `forward`, whose first line is line 8. */
const around = (body: string, imports = "defineModel, tensor", before = "") => `import { ${imports} } from "dit-compile";
${before}
export default defineModel({
  name: "m",
  config: { hidden: 6 },
  inputs: (c) => ({ x: tensor("batch token hidden", { token: 4, hidden: c.hidden }), s: tensor("batch hidden", { hidden: c.hidden }) }),
  forward: (c, { x, s }) => {
${body}
  },
});
`;

describe("places and names", () => {
  test("each node has the place of its call and the name of its variable", async () => {
    const fn = await forward({
      "m.ts": around("    const scaled = x.mul(2);\n    const out = scaled\n      .add(s)\n      .neg();\n    return { out };"),
    });
    expect(printFn(fn)).toBe(`fn @forward(%x: input f32[batch: B, token: 4, hidden: 6], %s: input f32[batch: B, hidden: 6]) {
  %0 = fill() {value=2, type=f32[batch: B, token: 4, hidden: 6]} : f32[batch: B, token: 4, hidden: 6]  // m.ts:8:22
  %scaled = mul(%x, %0) : f32[batch: B, token: 4, hidden: 6]  // m.ts:8:22
  %1 = expand(%s) {axes=[batch, token, hidden], sizes=[B, 4, 6]} : f32[batch: B, token: 4, hidden: 6]  // m.ts:10:8
  %2 = add(%scaled, %1) : f32[batch: B, token: 4, hidden: 6]  // m.ts:10:8
  %out = neg(%2) : f32[batch: B, token: 4, hidden: 6]  // m.ts:11:8
  return out=%out
}`);
  });

  test("helpers: the innermost call in the user's files counts; library code is one place", async () => {
    const before = "const half = <A extends string>(t: Tensor<A>) => t.mul(0.5);";
    const fn = await forward({
      "m.ts": around('    return { out: half(softmax(x, "hidden")) };', "defineModel, tensor, softmax, type Tensor", before),
    });
    expect([...new Set(fn.nodes.map((n) => `${n.loc?.line}:${n.loc?.column}`))]).toEqual(["8:24", "2:52"]);
  });

  test("array patterns name their parts; spreads, templates and callbacks work", async () => {
    const body = `    const [top, , low] = x.split("hidden", "three width", { three: 3 }).unbind("three", 3);
    const both: [typeof top[], "token"] = [[top, low], "token"];
    const all = concat(...both);
    const sums = [1, 2].map((k) => all.mul(k));
    const [first] = sums;
    return { out: first!["add"](sums[1]!), [\`n\${sums.length}\`]: all };`;
    const fn = await forward({ "m.ts": around(body, "concat, defineModel, tensor") });
    const names = fn.nodes.flatMap((n) => n.outputs.map((v) => v.name)).filter((n) => n);
    expect(names).toEqual(["top", "low", "all"]);
    expect(fn.results.map((r) => r.name)).toEqual(["out", "n2"]);
  });

  test("relative imports, with every spelling, run marked and once", async () => {
    const fn = await forward({
      "models/m.ts": around(
        "    return { out: block(x, s), count: counted(s) };",
        "defineModel, tensor",
        'import { block, counted } from "./parts/block.js";',
      ),
      "models/parts/block.ts": `import { gelu, type Tensor } from "dit-compile";
import { twice, calls } from "../twice";
export const block = (x: Tensor<"batch token hidden">, s: Tensor<"batch hidden">) => twice(x.add(s));
export const counted = (s: Tensor<"batch hidden">) => gelu(s).mul(calls.length);
`,
      "models/twice.ts": `import type { Tensor } from "dit-compile";
export const calls: number[] = [];
export function twice<A extends string>(x: Tensor<A>): Tensor<A> {
  calls.push(1);
  return x.mul(2);
}
`,
    });
    expect([...new Set(fn.nodes.map((n) => n.loc?.file))]).toEqual(["parts/block.ts", "twice.ts"]);
  });

  test("JSON is Node's to read, and so is JavaScript, which has no types", async () => {
    const files = {
      "m.ts": around("    return { out: by(x) };", "defineModel, tensor", 'import { by } from "./parts/by.js";'),
      "parts/by.ts": `import type { Tensor } from "dit-compile";
import { factor } from "./factor.json";
export const by = (x: Tensor<"batch token hidden">) => x.mul(factor);
`,
      "parts/factor.json": '{ "factor": 4 }',
    };
    const fn = await forward(files);
    expect(fn.nodes[0]).toMatchObject({ op: "fill", attrs: { value: 4 }, loc: { file: "parts/by.ts", line: 3 } });
    const script = {
      ...files,
      "parts/by.ts": files["parts/by.ts"].replace(".json", ".cjs"),
      "parts/factor.cjs": "exports.factor = 4;",
    };
    expect(await refusal(() => forward(script))).toContain(
      "parts/by.ts:2:24: error DIT1002: Could not find a declaration file for module './factor.cjs'.",
    );
  });

  test("classes, optional calls and this keep their meaning", async () => {
    const before = `class Base { scale = 3; of(t: Tensor<"batch hidden">) { return t.mul(this.scale); } }
class Gate extends Base { #plus = 1; #add(t: Tensor<"batch hidden">) { return t.add(this.#plus); } override of(t: Tensor<"batch hidden">) { return this.#add(super.of(t)); } }
const maybe: { f?: (n: number) => number } = {};`;
    const fn = await forward({
      "m.ts": around("    return { out: new Gate().of(s).mul(maybe.f?.(2) ?? 1) };", "defineModel, tensor, type Tensor", before),
    });
    expect(fn.nodes.map((n) => n.op)).toEqual(["fill", "mul", "fill", "add", "fill", "mul"]);
  });
});

describe("what is said when a file is wrong", () => {
  test("sizes: the place in the model, both shapes, help", async () => {
    const body = `    const w = param("w", "hidden out", { hidden: 7, out: 2 }, init.zeros);\n    return { out: dot(x, w, "hidden") };`;
    expect(await refusal(() => forward({ "m.ts": around(body, "defineModel, dot, init, param, tensor") }))).toBe(
      `m.ts:9:19: error DIT2001: dot: axis "hidden" is 6 on the left and 7 on the right
 9 |     return { out: dot(x, w, "hidden") };
   |                   ^^^
  note: x is f32[batch: B, token: 4, hidden: 6]
  note: w is f32[hidden: 7, out: 2]
  help: an axis that both sides have is contracted or a batch axis, and must have one size; rename it on one side otherwise`,
    );
  });

  test("all type errors at once, and whatever came of running the file is not said", async () => {
    const before = 'console.log(nothing);\nthrow new Error("ran");';
    const text = await refusal(() =>
      load({ "m.ts": around("    return { out: x.add(c.hiden) };", "defineModel, tensor", before) }),
    );
    expect(text).toBe(`m.ts:2:13: error DIT1002: Cannot find name 'nothing'. (TS2304)
 2 | console.log(nothing);
   |             ^^^^^^^

m.ts:9:27: error DIT1002: Property 'hiden' does not exist on type 'Config<{ hidden: number; }>'. Did you mean 'hidden'? (TS2551)
 9 |     return { out: x.add(c.hiden) };
   |                           ^^^^^`);
  });

  test("errors in an imported file name that file", async () => {
    const text = await refusal(() =>
      load({ "m.ts": 'export { default } from "./other.js";', "other.ts": "const n: number = true;\nexport default n;" }),
    );
    expect(text).toContain("other.ts:1:7: error DIT1002: Type 'boolean' is not assignable to type 'number'. (TS2322)");
  });

  test("the next time, files are as they are by then: changed, gone, or there at last", async () => {
    const model = (body: string) => around(body, "defineModel, tensor", 'import { two } from "./two.js";');
    const path = write({ "m.ts": model("    return { out: x.mul(two) };") });
    const two = join(dirname(path), "two.ts");
    const said = () => refusal(() => loadFile(path));
    expect(await said()).toContain("m.ts:2:21: error DIT1002: Cannot find module './two.js'");
    writeFileSync(two, "export const two = 2;");
    expect(await said()).toBe("accepted");
    writeFileSync(two, "export const two = true;");
    expect(await said()).toContain("m.ts:8:25: error DIT1002");
    writeFileSync(path, model("    return { out: x.mul(two ? 1 : 2) };"));
    expect(await said()).toBe("accepted");
    rmSync(two);
    expect(await said()).toContain("m.ts:2:21: error DIT1002: Cannot find module './two.js'");
  });

  test("an exception of the model has its place and no stack", async () => {
    const before = "function pick(names: string[]): string {\n  return names[3]!.toUpperCase();\n}";
    const text = await refusal(() =>
      forward({ "m.ts": around('    return { out: x.mul(pick(["a"]).length) };', "defineModel, tensor", before) }),
    );
    expect(text).toMatch(/^m\.ts:3:\d+: error DIT1005: the model file threw TypeError: Cannot read properties of undefined/);
    expect(text).toContain("3 |   return names[3]!.toUpperCase();");
    expect(text).not.toContain("    at ");
    const thrown = await refusal(() => load({ "m.ts": 'const no = () => { throw "plainly"; };\nno();\nexport default 1;' }));
    expect(thrown).toBe("m.ts:2:1: error DIT1005: the model file threw plainly\n 2 | no();\n   | ^^");
  });

  test("no file, a folder, no model", async () => {
    expect(await refusal(() => loadFile("models/none.ts"))).toBe(
      "error DIT1003: there is no file models/none.ts\n  help: check the path; it is taken from the folder that the command runs in",
    );
    expect(await refusal(() => loadFile(folder))).toContain("is a folder");
    expect(await refusal(() => load({ "m.ts": "export const a = 1;" }))).toBe(
      "error DIT1004: m.ts has no default export\n  help: end it with: export default defineModel({ … })",
    );
    expect(await refusal(() => load({ "m.ts": "export default { name: 1 };" }))).toContain(
      "error DIT1004: the default export of m.ts is no model",
    );
    const preset =
      'import { defineModel } from "dit-compile";\nexport default defineModel({ name: "m", config: {}, defaultPreset: "S", inputs: () => ({}), forward: () => ({}) });';
    expect(await refusal(() => load({ "m.ts": preset }))).toContain(
      'm.ts:2:16: error DIT1102: default preset "S" is not among the presets',
    );
  });
});
