// `dit-compile run` and a bundle's own index.js on the GPU, held against the golden numbers of a small DiT.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCommand } from "../../src/cli/run.js";
import { writeBundle } from "../../src/compile/bundle.js";
import { compile } from "../../src/compile/compile.js";
import { parseSafetensors, type StoredTensor, writeSafetensors } from "../../src/formats/safetensors.js";
import { requestDevice } from "../../src/runtime/node/dawn.js";
import { check, golden } from "../golden.js";

const file = golden("model_adaln_zero");
let folder: string;
const at = (name: string) => join(folder, name);
const put = (name: string, tensors: ReadonlyMap<string, StoredTensor>) => {
  writeFileSync(at(name), writeSafetensors(tensors));
  return at(name);
};
const read = (name: string) => parseSafetensors(new Uint8Array(readFileSync(at(name))), name).tensors;
const inputs = (names: Readonly<Record<string, string>>) =>
  new Map(Object.entries(names).map(([name, tensor]) => [name, file.get(tensor)]));
/** One step's part of a tensor that holds five. */
const first = ({ dtype, shape, data }: StoredTensor): StoredTensor => {
  const rest = shape.slice(1);
  return {
    dtype,
    shape: rest,
    data: data.slice(
      0,
      rest.reduce((a, b) => a * b, 1),
    ),
  };
};

const lines: string[] = [];
const run = (entry: string, inputsFile: string, output: string, weights: string | undefined = at("w.safetensors")) =>
  runCommand(
    at("bundle"),
    { entry, inputs: inputsFile, output: at(output), ...(weights ? { weights } : {}) },
    { out: () => {}, err: (text) => void lines.push(text) },
  );

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dit-run-"));
  const set = ["draws=inputs", "emaWarmup=off", "respacing=10"];
  const { bundle } = await compile("models/dit.graph.ts", { preset: "tiny", set });
  await writeBundle(bundle, at("bundle"));
  put("w.safetensors", file.weights());
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("forward; the batch is that of the inputs", async () => {
  await run("forward", put("in", inputs({ x: "forward/x", t: "forward/t", y: "forward/y" })), "out");
  const { dtype, shape, data } = read("out").get("out")!;
  expect([dtype, shape]).toEqual(["F32", [4, 8, 8, 8]]);
  expect(file.check("forward/out", data as Float32Array)).toBeUndefined();
  expect(lines.at(-1)).toContain("out [4, 8, 8, 8]");
});

test("loss_and_grad: losses by sample, their mean, and a gradient for each trained weight", async () => {
  const names = { x_start: "loss/x0", t: "loss/t", y: "loss/y", noise: "loss/noise" };
  await run("loss_and_grad", put("in", inputs(names)), "out");
  const out = read("out");
  for (const name of ["mse", "vb"]) expect(file.check(`loss/${name}`, out.get(name)!.data as Float32Array)).toBeUndefined();
  const losses = file.f32("loss/loss");
  expect((out.get("loss")!.data as Float32Array)[0]).toBeCloseTo(losses.reduce((a, b) => a + b) / losses.length, 5);
  const trained = [...file.weights().keys()].filter((key) => key !== "pos_embed");
  expect([...out.keys()].filter((key) => key.startsWith("grad.")).sort()).toEqual(trained.map((key) => `grad.${key}`).sort());
  for (const key of trained) expect(file.check(`loss/d.${key}`, out.get(`grad.${key}`)!.data as Float32Array)).toBeUndefined();
});

test("train_step: five steps, each from the file of the last, are the golden weights", { timeout: 240_000 }, async () => {
  const part = (name: string, step: number): StoredTensor => {
    const { dtype, shape, data } = file.get(`train/${name}`);
    const rest = shape.slice(1);
    const count = rest.reduce((a, b) => a * b, 1);
    return { dtype, shape: rest, data: data.slice(step * count, (step + 1) * count) };
  };
  const losses: number[] = [];
  let state = new Map<string, StoredTensor>();
  for (let step = 0; step < 5; step++) {
    const draws = { "draw.t": part("t", step), "draw.drop": part("drop", step), "draw.noise": part("noise", step) };
    const given = { x_start: part("x0", step), y: part("y", step), ...draws };
    // Later steps take everything from the outputs of the last but what is no weight: the position embedding is in the weights file.
    await run("train_step", put("in", new Map([...state, ...Object.entries(given)])), "out");
    const out = read("out");
    losses.push((out.get("loss")!.data as Float32Array)[0]!);
    state = new Map([...out].filter(([name]) => name === "step" || /^(p|m|v|ema)\./.test(name)));
  }
  expect(file.check("train/losses", losses)).toBeUndefined();
  expect([...(state.get("step")!.data as Int32Array)]).toEqual([5]);
  for (const key of ["x_embedder.proj.weight", "blocks.1.attn.qkv.weight", "final_layer.linear.bias"]) {
    expect(file.check(`train/w5.${key}`, state.get(`p.${key}`)!.data as Float32Array)).toBeUndefined();
    expect(file.check(`train/m5.${key}`, state.get(`m.${key}`)!.data as Float32Array)).toBeUndefined();
    expect(file.check(`train/v5.${key}`, state.get(`v.${key}`)!.data as Float32Array)).toBeUndefined();
    expect(file.check(`train/ema0.9999.${key}`, state.get(`ema.${key}`)!.data as Float32Array)).toBeUndefined();
  }
});

test("sample_step: one reverse step of x", async () => {
  const step: StoredTensor = { dtype: "I32", shape: [], data: Int32Array.of(0) };
  const given = new Map([...inputs({ x: "ddim10/z", y: "ddim10/y" }), ["step", step], ["draw.noise", file.get("ddim10/z")]] as [
    string,
    StoredTensor,
  ][]);
  await run("sample_step", put("in", given), "out");
  const out = read("out");
  expect(out.get("x")!.shape).toEqual([2, 4, 8, 8]);
  expect([...(out.get("step")!.data as Int32Array)]).toEqual([1]);
});

test("what does not fit is one error that lists it, and no file is written", async () => {
  const refused = async (
    entry: string,
    tensors: Map<string, StoredTensor>,
    expected: readonly string[],
    weights?: Map<string, StoredTensor>,
  ) => {
    const error = await run(entry, put("bad", tensors), "never", weights ? put("wrong", weights) : undefined).then(
      () => undefined,
      String,
    );
    for (const text of expected) expect(error).toContain(text);
    expect(existsSync(at("never"))).toBe(false);
  };
  const good = inputs({ x: "forward/x", t: "forward/t", y: "forward/y" });
  await refused(
    "forward",
    new Map([
      ["x", file.get("forward/x")],
      ["z", file.get("forward/x")],
      ["t", file.get("forward/x")],
    ]),
    [
      "DIT7020: the inputs do not fit forward of DiT tiny at batch 4",
      "z: forward has no input of this name",
      "t: F32 [4, 4, 8, 8], expected i32 [batch 4]",
      "y: missing, expected i32 [batch 4]",
    ],
  );
  await refused("forwards", good, ['the bundle has no entry "forwards"', "did you mean"]);
  const fraction: StoredTensor = { dtype: "F32", shape: [4], data: Float32Array.of(1, 2, 3, 0.5) };
  await refused("forward", new Map([...good, ["t", fraction]]), ["t: F32, expected i32 [batch 4]"]);
  const wrong = file.weights();
  wrong.delete("blocks.0.attn.proj.bias");
  wrong.set("model.extra", first(file.get("train/y")));
  wrong.set("x_embedder.proj.bias", file.get("forward/t"));
  await refused(
    "forward",
    good,
    [
      "1 missing, 1 of another shape or type, 1 not in the model",
      "missing: blocks.0.attn.proj.bias, expected f32 [64]",
      "x_embedder.proj.bias: expected f32 [64], found I32 [4]",
      "not in the model: model.extra",
    ],
    wrong,
  );
});

test("a bundle's index.js runs in Node on a device that is handed in, with weights beside it", async () => {
  put("bundle/weights.safetensors", file.weights());
  interface Loaded {
    run(entry: string, inputs: object): Promise<{ out: Float32Array }>;
    dispose(): void;
  }
  const script = (await import(/* @vite-ignore */ pathToFileURL(at("bundle/index.js")).href)) as {
    load(options: object): Promise<Loaded>;
  };
  const dawn = await requestDevice();
  try {
    const session = await script.load({ device: dawn.device, batch: 4, entries: ["forward"], weights: "weights.safetensors" });
    const given = { x: file.f32("forward/x"), t: file.i32("forward/t"), y: file.i32("forward/y") };
    const { out } = await session.run("forward", given);
    expect(check("out", out, file.f32("forward/out"), file.tolerance("forward/out"))).toBeUndefined();
    session.dispose();
  } finally {
    dawn.dispose();
  }
});
