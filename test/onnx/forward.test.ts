/** `dit-compile export --format onnx`: whole models in onnxruntime, against the goldens and against the CPU reference. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exportedModel } from "../../src/exports/model.js";
import { writeOnnx } from "../../src/exports/onnx/write.js";
import { writeSafetensors } from "../../src/formats/safetensors.js";
import { concreteShape, type DenseInput, evaluate } from "../../src/ir/eval.js";
import { dit, model } from "../cli/capture.js";
import { golden } from "../golden.js";
import { randomDense, randomOf } from "../ir/samples.js";
import { type Given, onnxruntime, runOnnx } from "./runtime.js";

let folder = "";
beforeAll(() => {
  onnxruntime();
  folder = mkdtempSync(join(tmpdir(), "dit-onnx-"));
}, 240_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);
const file = golden("model_adaln_zero");
const inputs = (from: number, to: number): Record<string, Given> => ({
  x: { type: "float32", data: file.f32("forward/x").slice(256 * from, 256 * to), shape: [to - from, 4, 8, 8] },
  t: { type: "int32", data: file.i32("forward/t").slice(from, to), shape: [to - from] },
  y: { type: "int32", data: file.i32("forward/y").slice(from, to), shape: [to - from] },
});

describe("the golden model", () => {
  beforeAll(() => writeFileSync(at("w.safetensors"), writeSafetensors(file.weights())));

  test("one file", async () => {
    const said = await dit(
      ...["export", model("dit"), "--preset", "tiny", "-w", at("w.safetensors"), "--format", "onnx", "-o", at("tiny.onnx")],
    );
    expect(said.err).toMatch(/wrote .*tiny\.onnx: DiT, preset tiny, forward, \d+ nodes, weights from .*w\.safetensors\n/);
    expect(said.code).toBe(0);
    const { out } = await runOnnx(at("tiny.onnx"), inputs(0, 4));
    expect(out!.dims).toEqual([4, 8, 8, 8]);
    expect(file.check("forward/out", out!.data)).toBeUndefined();
  });

  test("the batch is the runtime's to choose", async () => {
    const { out: all } = await runOnnx(at("tiny.onnx"), inputs(0, 4));
    for (const [from, to] of [
      [0, 1],
      [1, 4],
    ] as const) {
      const { out } = await runOnnx(at("tiny.onnx"), inputs(from, to));
      const part = (all!.data as Float32Array).slice(512 * from, 512 * to);
      const worst = part.reduce((most, x, i) => Math.max(most, Math.abs(x - out!.data[i]!)), 0);
      expect(worst).toBeLessThan(1e-5);
    }
  });

  test("weights apart: the same numbers, and the model itself is small", async () => {
    const args = ["--preset", "tiny", "-w", at("w.safetensors"), "--format", "onnx", "--external", "--json"];
    const said = await dit("export", model("dit"), ...args, "-o", at("apart.onnx"));
    expect(JSON.parse(said.out)).toMatchObject({ data: at("apart.onnx.data"), preset: "tiny" });
    const whole = await runOnnx(at("tiny.onnx"), inputs(0, 4));
    const apart = await runOnnx(at("apart.onnx"), inputs(0, 4));
    expect(apart.out!.data).toEqual(whole.out!.data);
    const weights = [...file.weights().values()].reduce((bytes, { data }) => bytes + data.byteLength, 0);
    expect(statSync(at("tiny.onnx")).size - statSync(at("apart.onnx")).size).toBeGreaterThan(0.99 * weights);
    expect(statSync(at("apart.onnx.data")).size).toBeGreaterThan(weights);
  });

  test("the same input gives the same bytes", async () => {
    await dit("export", model("dit"), "--preset", "tiny", "-w", at("w.safetensors"), "-f", "onnx", "-o", at("again.onnx"));
    expect(readFileSync(at("again.onnx")).equals(readFileSync(at("tiny.onnx")))).toBe(true);
  });
});

test.each(["adaln", "cross_attention", "in_context"])("the golden model, %s", async (block) => {
  const other = golden(`model_${block}`);
  writeFileSync(at(`${block}.safetensors`), writeSafetensors(other.weights()));
  const { hidden_size } = other.config.config as { hidden_size: number };
  const set = ["--set", `block=${block}`, "--set", `hiddenSize=${hidden_size}`];
  const args = ["--preset", "tiny", ...set, "-w", at(`${block}.safetensors`), "--onnx", "-o", at(`${block}.onnx`)];
  expect((await dit("export", model("dit"), ...args)).code).toBe(0);
  const { out } = await runOnnx(at(`${block}.onnx`), {
    x: { type: "float32", data: other.f32("forward/x"), shape: [4, 4, 8, 8] },
    t: { type: "int32", data: other.i32("forward/t"), shape: [4] },
    y: { type: "int32", data: other.i32("forward/y"), shape: [4] },
  });
  expect(other.check("forward/out", out!.data)).toBeUndefined();
});

test("an official checkpoint says its model itself", async () => {
  const args = ["--set", "numHeads=2", "--format", "onnx"];
  const said = await dit("export", "test/golden/tiny-trainer.pt", ...args, "-o", at("trainer.onnx"));
  expect(said.err).toMatch(/^wrote /);
  const expected = golden("tiny-expected");
  const named = [...expected.tensors.keys()];
  const [x, out] = [named.find((name) => name.endsWith("/x"))!, named.find((name) => name.endsWith("/out"))!];
  const prefix = x.slice(0, -1);
  const found = await runOnnx(at("trainer.onnx"), {
    x: { type: "float32", data: expected.f32(x), shape: expected.get(x).shape },
    t: { type: "int32", data: expected.i32(`${prefix}t`), shape: expected.get(`${prefix}t`).shape },
    y: { type: "int32", data: expected.i32(`${prefix}y`), shape: expected.get(`${prefix}y`).shape },
  });
  expect(expected.check(out, found.out!.data)).toBeUndefined();
});

test.each([
  ["mlp", []],
  ["vit", []],
  // Guidance off, one channel, patches of 7.
  ["dit", ["inputSize=14", "patchSize=7", "inChannels=1", "hiddenSize=16", "numHeads=2", "depth=1", "numClasses=3"]],
] as const)("%s %j, with random weights", async (name, set) => {
  const exported = await exportedModel(model(name), { set: [...set] });
  const { fn, params, tables } = exported.forward;
  const random = randomOf(5);
  const shapes = new Map(params.map(({ name, type }) => [name, type.shape as readonly number[]]));
  const values = new Map<string, DenseInput>();
  for (const { name, kind, value } of fn.params) {
    const { dtype } = value.type;
    const type = { ...value.type, shape: concreteShape(value.type, 3) };
    const table = tables.get(name);
    const width = kind === "parameter" ? 0.3 : 1;
    values.set(
      name,
      table
        ? { shape: type.shape, data: Float64Array.from(table, Math.fround) }
        : randomDense(type, dtype === "i32" ? [0, 3] : [-width, width], random),
    );
  }
  const rounded = (name: string) => Float32Array.from(values.get(name)!.data);
  for (const { name } of params) values.set(name, { shape: shapes.get(name)!, data: rounded(name) });
  await writeOnnx(at(`${name}.onnx`), exported, { read: async (name) => rounded(name) }, { version: "0" });
  const given = fn.params.filter((p) => p.kind === "input");
  const feeds = given.map(({ name, value }): [string, Given] => {
    const { shape, data } = values.get(name)!;
    return value.type.dtype === "i32"
      ? [name, { type: "int32", data: Int32Array.from(data), shape }]
      : [name, { type: "float32", data: Float32Array.from(data), shape }];
  });
  for (const [name, { data }] of feeds) values.set(name, { shape: values.get(name)!.shape, data });
  const expected = evaluate({ stage: "graph", fns: [fn] }, fn.name, values, { batch: 3, precision: "f64" });
  const found = await runOnnx(at(`${name}.onnx`), Object.fromEntries(feeds));
  for (const [result, { data, shape }] of expected) {
    expect(found[result]!.dims).toEqual([...shape]);
    const largest = data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const worst = data.reduce((most, x, i) => Math.max(most, Math.abs(x - Number(found[result]!.data[i]))), 0);
    expect(worst).toBeLessThanOrEqual(1e-5 * largest);
  }
});

test("what is missing or wrong is said", async () => {
  const wrong = (...args: string[]) => dit("export", ...args, "--format", "onnx", "-o", at("no.onnx"));
  expect((await wrong(model("dit"))).err).toContain("error DIT7001: models/dit.graph.ts is a model file: it has no weights");
  expect((await wrong(model("dit"), "-w", at("w.safetensors"))).err).toContain("error DIT4206");
});
