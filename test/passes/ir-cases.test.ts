/**
 * Runs every `cases/<pass>/*.ir`: the module above the rule `// ----` goes through the pass that the first line names, and what comes
 * out is compared with the text below, whole. `vitest -u` writes the lower half. A case called `leaves-…` must give back the very same
 * module, one called `refuses-…` must throw; the message then stands below.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import type { Module } from "../../src/ir/graph.js";
import { parseModule } from "../../src/ir/parse.js";
import { printModule } from "../../src/ir/print.js";
import { verify } from "../../src/ir/verify.js";
import { passes } from "../../src/passes/index.js";
import type { Pass, PassOptions } from "../../src/passes/pass.js";

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

const folders = readdirSync(root);

describe.each(folders)("%s", (folder) => {
  const files = readdirSync(join(root, folder)).filter((name) => name.endsWith(".ir"));

  test("has a case that turns and one that leaves alone", () => {
    expect(files.some((name) => name.startsWith("leaves-"))).toBe(true);
    expect(files.some((name) => !/^(leaves|refuses)-/.test(name))).toBe(true);
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
    await expect(`${upper}${rule}${text}`).toMatchFileSnapshot(path);
  });
});
