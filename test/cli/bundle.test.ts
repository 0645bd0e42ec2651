// A bundle on disk: what is written is what is read, damage is noticed, and nobody else's folder is touched.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Project, ts } from "ts-morph";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleFiles, writeBundle } from "../../src/compile/bundle.js";
import { compile } from "../../src/compile/compile.js";
import { tensorTypes } from "../../src/compile/declarations.js";
import { programHash, readBundle } from "../../src/node/read-bundle.js";
import { pack } from "../../src/program/pack.js";
import type { Bundle } from "../../src/program/program.js";
import { targetsOf } from "../../src/runtime/names.js";
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
  const consumer = `import { type EntryName, load, type ParameterName, type Parameters, type TensorName } from "./typed/index.js";
export async function classify(x: Float32Array): Promise<Float32Array> {
  const session = await load({ batch: 2, entries: ["forward", "loss_and_grad"], log: console.log });
  // @ts-expect-error: there is no input "z"
  await session.run("forward", { z: x });
  // @ts-expect-error: y is missing
  await session.run("loss_and_grad", { x });
  // @ts-expect-error: there is no entry "forwards"
  await session.run("forwards", { x });
  // @ts-expect-error: train_step was not loaded
  await session.submit("train_step", { x, y: [1, 2] });
  // @ts-expect-error: there is no entry "forwards"
  await load({ entries: ["forwards"] });
  const { out } = await session.run("forward", { x });
  // @ts-expect-error: there is no output "logits"
  (await session.run("forward", { x })).logits;
  const { loss } = await session.run("loss_and_grad", { x, y: [1, 2] });
  await (await load()).submit("train_step", { x, y: Int32Array.of(1, 2) });
  const name: EntryName = "train_step";
  await session.write("fc1.bias", loss);
  await session.write("m.fc1.bias", [0, 0]);
  // @ts-expect-error: weights are f32
  await session.write("fc1.bias", new Int32Array(24));
  // @ts-expect-error: there is no weight "fc9.bias"
  await session.write("fc9.bias", loss);
  const { step, "ema.fc1.weight": average } = await session.read(["step", "ema.fc1.weight"]);
  const counter: Int32Array = step;
  // @ts-expect-error: nothing of this name was read
  (await session.read(["step"]))["fc1.bias"];
  const key: ParameterName = "fc1.weight";
  const tensor: TensorName = "forward.out";
  const shape: Parameters["fc1.weight"] = [24, 16];
  // @ts-expect-error: the shape is another
  const other: Parameters["fc1.weight"] = [16, 24];
  const { config, preset } = session.program.model;
  const hidden: 24 = config.hidden;
  const small: "tiny" = preset;
  // @ts-expect-error: there is no such key
  config.hiden;
  session.dispose();
  return [counter, key, tensor, shape, other, hidden, small].length > 0 && name === "train_step" ? out : average;
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

test("index.d.ts has the names and types that a session has", async () => {
  const { bundle: diffusion } = await compile(model("dit"), { preset: "tiny", set: ["respacing=5"] });
  for (const { program } of [bundle, diffusion]) {
    const targets = targetsOf(program, pack(program, 1));
    expect(Object.entries(tensorTypes(program)).sort()).toEqual([...targets].map(([name, { dtype }]) => [name, dtype]).sort());
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
