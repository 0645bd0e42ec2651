/**
 * The package as npm would install it, in an empty folder: the README's example compiles there by its own command, TypeScript finds the
 * types, and nothing is needed that the package does not declare. What it declares is linked from this checkout, so no network is needed.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Project, ts } from "ts-morph";
import { afterAll, beforeAll, expect, test } from "vitest";
import { excerptOf } from "../docs/generated.js";

const root = join(import.meta.dirname, "../..");
let folder: string;
const at = (path: string) => join(folder, path);

beforeAll(() => {
  expect(existsSync(join(root, "dist/cli/main.js")), "npm run build comes first").toBe(true);
  folder = mkdtempSync(join(tmpdir(), "dit-packed-"));
  const packed = execFileSync("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder], {
    cwd: root,
    encoding: "utf8",
  });
  mkdirSync(at("node_modules/.bin"), { recursive: true });
  execFileSync("tar", ["-xzf", at(packed.trim()), "-C", at("node_modules")]);
  execFileSync("mv", [at("node_modules/package"), at("node_modules/dit-compile")]);
  const { dependencies, bin } = JSON.parse(readFileSync(at("node_modules/dit-compile/package.json"), "utf8")) as {
    dependencies: Record<string, string>;
    bin: Record<string, string>;
  };
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(at(`node_modules/${name}`)), { recursive: true });
    symlinkSync(join(root, "node_modules", name), at(`node_modules/${name}`));
  }
  for (const [name, path] of Object.entries(bin)) symlinkSync(join("../dit-compile", path), at(`node_modules/.bin/${name}`));
  writeFileSync(at("package.json"), '{ "private": true, "type": "module" }\n');
  writeFileSync(at("dots.graph.ts"), `${excerptOf("README.md", "model")}\n`);
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const npx = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync("npx", ["--no-install", "dit-compile", ...args], {
    cwd: folder,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
};

test("the README's command compiles the README's example", { timeout: 120_000 }, () => {
  const { status, stdout, stderr } = npx("dots.graph.ts", "--batch", "4", "-o", "dots");
  expect(stderr).toMatch(/^wrote dots: \d+ files, program [0-9a-f]{12}\n$/);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^Dots\n\nprogram +[0-9a-f]{64}\ntarget +web\nbatch +4\n/);
  expect(readdirSync(at("dots")).sort()).toEqual([
    "constants.bin",
    "index.d.ts",
    "index.js",
    "kernels",
    "kernels.ir",
    "package.json",
    "program.json",
  ]);
});

test("a mistake is found there, too", { timeout: 120_000 }, () => {
  const text = readFileSync(at("dots.graph.ts"), "utf8").replace('linear(gelu(hidden), "hidden"', 'linear(gelu(hidden), "hiden"');
  writeFileSync(at("typo.graph.ts"), text);
  const { status, stdout, stderr } = npx("typo.graph.ts", "-o", "typo");
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^typo\.graph\.ts:\d+:\d+: error DIT1001: no axis hiden in \[batch hidden\]\n/);
  expect(existsSync(at("typo"))).toBe(false);
});

test("TypeScript finds the types of the package and of its other faces", { timeout: 120_000 }, () => {
  writeFileSync(
    at("use.ts"),
    `import { compile, DitError } from "dit-compile";
import { load, readBundle } from "dit-compile/node";
import { createSession } from "dit-compile/runtime";
export const used = [compile, DitError, load, readBundle, createSession];
// @ts-expect-error: there is no such option
await compile("dots.graph.ts", { prset: "S" });
`,
  );
  const project = new Project({
    skipAddingFilesFromTsConfig: true,
    compilerOptions: {
      ...{ strict: true, noEmit: true, skipLibCheck: true, types: [], lib: ["lib.es2023.d.ts"] },
      ...{ target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.NodeNext },
    },
  });
  for (const name of ["dots.graph.ts", "use.ts"]) {
    const file = project.addSourceFileAtPath(at(name));
    expect(file.getPreEmitDiagnostics().map((d) => d.getMessageText())).toEqual([]);
    const modules = file.getImportDeclarations().map((i) => i.getModuleSpecifierSourceFile()?.getFilePath() ?? "");
    for (const path of modules) expect(path).toContain("/node_modules/dit-compile/dist/");
  }
});
