// A bundle on disk: what is written is what is read, damage is noticed, and nobody else's folder is touched.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Project, ts } from "ts-morph";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleFiles, writeBundle } from "../../src/compile/bundle.js";
import { compile } from "../../src/compile/compile.js";
import { programHash, readBundle } from "../../src/node/read-bundle.js";
import type { Bundle } from "../../src/program/program.js";
import { model } from "./capture.js";

let folder: string;
let bundle: Bundle;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dit-bundle-"));
  ({ bundle } = await compile(model("mlp"), { preset: "tiny" }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

test("round trip", async () => {
  const files = await writeBundle(bundle, at("deep/er/one"));
  expect(files).toEqual([...bundleFiles(bundle).keys()]);
  const read = await readBundle(at("deep/er/one"));
  expect(read.program).toEqual(bundle.program);
  expect(read.wgsl).toEqual(bundle.wgsl);
  expect([...read.constants]).toEqual([...bundle.constants]);
  expect(programHash(read.program, read.wgsl, read.constants)).toBe(bundle.program.hash);
});

test("a bundle is replaced whole, and what a user put beside it stays", async () => {
  await writeBundle(bundle, at("again"));
  writeFileSync(join(at("again"), "weights.safetensors"), "mine");
  writeFileSync(join(at("again"), "kernels", "old.wgsl"), "of the last program");
  await writeBundle(bundle, at("again"));
  expect(readFileSync(join(at("again"), "weights.safetensors"), "utf8")).toBe("mine");
  expect(existsSync(join(at("again"), "kernels", "old.wgsl"))).toBe(false);
  expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
  await readBundle(at("again"));
});

test("a folder that is no bundle, and a file, are refused untouched", async () => {
  mkdirSync(at("other"));
  writeFileSync(join(at("other"), "thesis.txt"), "years");
  writeFileSync(at("file"), "x");
  await expect(writeBundle(bundle, at("other"))).rejects.toThrow(/DIT7010: .*holds other things than a bundle \(thesis\.txt\)/);
  await expect(writeBundle(bundle, at("file"))).rejects.toThrow(/DIT7010: .*is a file/);
  await expect(writeBundle(bundle, join(at("file"), "below"))).rejects.toThrow(/DIT7011: cannot write the bundle/);
  expect(readdirSync(at("other"))).toEqual(["thesis.txt"]);
  mkdirSync(at("empty"));
  await writeBundle(bundle, at("empty"));
});

test("what is missing or changed is said", async () => {
  const damage = async (change: (dir: string) => void, message: RegExp) => {
    rmSync(at("damaged"), { recursive: true, force: true });
    await writeBundle(bundle, at("damaged"));
    change(at("damaged"));
    await expect(readBundle(at("damaged"))).rejects.toThrow(message);
  };
  const edit = (name: string, from: string | RegExp, to: string) => (dir: string) =>
    writeFileSync(join(dir, name), readFileSync(join(dir, name), "utf8").replace(from, to));
  const kernel = Object.keys(bundle.wgsl)[0]!;
  await damage((dir) => rmSync(join(dir, kernel)), /DIT4001: cannot read .*wgsl: it does not exist/);
  await damage((dir) => rmSync(join(dir, "program.json")), /DIT7012: .*is not a bundle: it has no program\.json/);
  await damage(edit("program.json", "{", "["), /DIT7012: .*program\.json is not JSON/);
  await damage(edit("program.json", '"major":1', '"major":9'), /DIT7012: .*not a valid bundle[\s\S]*use a newer runtime/);
  await damage(edit("program.json", kernel, "../../etc/passwd"), /DIT7012: [\s\S]*a path inside the bundle/);
  await damage(edit(kernel, /$/, "\n// faster\n"), /DIT7013: .*was changed after it was compiled/);
  await expect(readBundle(at("nowhere"))).rejects.toThrow(/DIT7012: there is no bundle/);
  await expect(readBundle(at("file"))).rejects.toThrow(/DIT7012: .*is a file/);
});

test("index.d.ts types the entries, with and without a browser's types", async () => {
  await writeBundle(bundle, at("typed"));
  const consumer = `import { type EntryName, load } from "./typed/index.js";
export async function classify(x: Float32Array): Promise<Float32Array> {
  const session = await load({ batch: 2, entries: ["forward"], log: console.log });
  // @ts-expect-error: there is no input "z"
  await session.run("forward", { z: x });
  const { out } = await session.run("forward", { x });
  const { loss } = await session.run("loss_and_grad", { x, y: [1, 2] });
  const name: EntryName = "train_step";
  await session.write("fc1.bias", loss);
  session.dispose();
  return name === "train_step" ? out : loss;
}
`;
  for (const lib of [["lib.es2023.d.ts", "lib.dom.d.ts"], ["lib.es2023.d.ts"]]) {
    const options = { strict: true, exactOptionalPropertyTypes: true, noEmit: true, skipLibCheck: false, lib, types: [] };
    const project = new Project({
      skipAddingFilesFromTsConfig: true,
      compilerOptions: { ...options, target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.NodeNext },
    });
    project.createSourceFile(join(folder, "console.d.ts"), "declare const console: { log(line: string): void };", {
      overwrite: true,
    });
    const file = project.createSourceFile(join(folder, "consumer.mts"), consumer, { overwrite: true });
    if (lib.length > 1) project.removeSourceFile(project.getSourceFileOrThrow("console.d.ts"));
    const found = [...file.getPreEmitDiagnostics(), ...project.getPreEmitDiagnostics()];
    expect(found.map((d) => `${d.getSourceFile()?.getBaseName()} ${JSON.stringify(d.getMessageText())}`)).toEqual([]);
  }
});

test("generated files begin with the program's hash, and index.js needs nothing but a device", async () => {
  await writeBundle(bundle, at("script"));
  for (const name of ["index.js", "index.d.ts"]) {
    expect(readFileSync(join(at("script"), name), "utf8").split("\n")[0]).toBe(
      `// dit-compile program ${bundle.program.hash}: MLP tiny. Generated.`,
    );
  }
  const script = readFileSync(join(at("script"), "index.js"), "utf8");
  expect(script).not.toMatch(/^import\s/m);
  const { load } = (await import(/* @vite-ignore */ pathToFileURL(join(at("script"), "index.js")).href)) as {
    load(): Promise<unknown>;
  };
  await expect(load()).rejects.toMatchObject({ name: "DitRuntimeError", code: "DIT6002" });
});
