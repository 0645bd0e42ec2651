/** What `run` and `sample` say when the GPU, the memory or the weights are not what they need: the whole text, and nothing written. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exitCode, type Io } from "../../src/cli/io.js";
import { runCommand } from "../../src/cli/run.js";
import { sampleCommand } from "../../src/cli/sample.js";
import { writeBundle } from "../../src/compile/bundle.js";
import { type CompileOptions, compile } from "../../src/compile/compile.js";
import { type StoredTensor, writeSafetensors } from "../../src/formats/safetensors.js";
import { webLimits } from "../../src/program/program.js";
import { freshWeights } from "../../src/trainer/weights.js";

let folder: string;
let weights: ReadonlyMap<string, StoredTensor>;
const at = (name: string) => join(folder, name);

const f32 = (shape: readonly number[], data: Float32Array): StoredTensor => ({ dtype: "F32", shape, data });
const put = (name: string, tensors: Iterable<readonly [string, StoredTensor]>) =>
  writeFileSync(at(name), writeSafetensors(new Map(tensors)));

/** A bundle and a file of its weights beside it; returns the weights. */
async function bundleAt(name: string, model: string, options: CompileOptions): Promise<Map<string, StoredTensor>> {
  const { bundle } = await compile(`models/${model}.graph.ts`, options);
  await writeBundle(bundle, at(name));
  const fresh = freshWeights(bundle, 1);
  const tensors = new Map(bundle.program.parameters.map(({ name: key, shape }) => [key, f32(shape, fresh.get(key)!)]));
  put(`${name}.safetensors`, tensors);
  return tensors;
}
const forward: CompileOptions = { preset: "tiny", entries: ["forward"] };

/** A command as it would end: its code and all that it says, with the folder's name left out. */
async function command(start: (io: Io) => Promise<void>, json = false) {
  let [out, err] = ["", ""];
  const io: Io = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  };
  const code = await exitCode(io, () => start(io), json);
  return { code, out, err: err.replaceAll(`${folder}/`, "") };
}
const run = (bundle: string, file: string, more: object = {}) =>
  command(
    (io) =>
      runCommand(
        at(bundle),
        { entry: "forward", weights: at(file), inputs: at("in.safetensors"), output: at("out"), ...more },
        io,
      ),
    "json" in more,
  );

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dit-refused-"));
  weights = await bundleAt("mlp", "mlp", forward);
  put("in.safetensors", [["x", f32([2, 16], new Float32Array(32).fill(0.5))]]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("run --json says what was written", async () => {
  const { code, out, err } = await run("mlp", "mlp.safetensors", { json: true });
  expect([code, err]).toEqual([0, "wrote out: out [2, 4]\n"]);
  expect(JSON.parse(out)).toEqual({
    output: at("out"),
    program: expect.stringMatching(/^[0-9a-f]{64}$/),
    entry: "forward",
    outputs: { out: { dtype: "F32", shape: [2, 4] } },
    seconds: expect.any(Number),
  });
  rmSync(at("out"));
});

const refused = async (said: { code: number; out: string; err: string }, text: string) => {
  expect(said).toEqual({ code: 1, out: "", err: `${text}\n` });
  expect(existsSync(at("out"))).toBe(false);
};

test("weights: missing, left over, of another shape", async () => {
  const { "fc1.bias": _, ...others } = Object.fromEntries(weights);
  const changed = { ...others, "fc9.bias": f32([1], new Float32Array(1)), "fc2.bias": f32([5], new Float32Array(5)) };
  put("changed.safetensors", Object.entries(changed));
  await refused(
    await run("mlp", "changed.safetensors"),
    `error DIT4206: changed.safetensors does not hold the weights of MLP, preset tiny: 1 missing, 1 of another shape or type, 1 not in the model
  note: missing: fc1.bias, expected f32 [24]
  note: fc2.bias: expected f32 [4], found F32 [5]
  note: not in the model: fc9.bias
  help: give the preset and settings that the weights were trained with`,
  );
});

test("weights that are not numbers", async () => {
  const data = (weights.get("fc1.weight")!.data as Float32Array).slice();
  data[16 * 3 + 5] = Number.NaN;
  data[16 * 3 + 7] = Number.NEGATIVE_INFINITY;
  put("changed.safetensors", new Map([...weights, ["fc1.weight", f32([24, 16], data)]]));
  await refused(
    await run("mlp", "changed.safetensors"),
    `error DIT4207: changed.safetensors: weight "fc1.weight"[3, 5] is NaN, expected a finite number
  note: 2 of its 384 numbers are not finite
  help: the training that made the file has diverged, or the file is damaged: take an earlier one`,
  );
});

test("memory beyond the limit", async () => {
  await refused(
    await run("mlp", "mlp.safetensors", { memory: 10_000 }),
    `error DIT6003: the plan needs 67.8 KiB (parameter 2.5 KiB, input 0.3 KiB, output 0.3 KiB, activation 0.3 KiB, uniforms 0.5 KiB, staging 64.0 KiB) of GPU memory, 9.8 KiB may be used
  help: a smaller batch or fewer entries need less`,
  );
});

test("limits too small, and a feature missing", async () => {
  const limits = { ...webLimits, maxBufferSize: 2 ** 50, maxStorageBuffersPerShaderStage: 1000 };
  await bundleAt("big", "mlp", { ...forward, target: { name: "big", features: [], limits, variants: true } });
  const { err, ...rest } = await run("big", "big.safetensors");
  expect(rest).toEqual({ code: 1, out: "" });
  expect(err.replace(/(maxBufferSize|Stage) \d+/g, "$1 #")).toBe(
    `error DIT6002: this program was compiled for "big", and the device falls short: maxBufferSize #, needs 1125899906842624; maxStorageBuffersPerShaderStage #, needs 1000
  help: compile with --target web, which runs on every WebGPU device, or make the device with deviceDescriptor(program, adapter)
`,
  );
  await bundleAt("rare", "mlp", {
    ...forward,
    target: { name: "rare", features: ["shader-f64"], limits: webLimits, variants: true },
  });
  await refused(
    await run("rare", "rare.safetensors"),
    `error DIT6002: this program was compiled for "rare", and the device falls short: no feature shader-f64
  help: compile with --target web, which runs on every WebGPU device, or make the device with deviceDescriptor(program, adapter)`,
  );
});

test("sample: its result as JSON, and a limit on its memory", async () => {
  const set = ["inputSize=4", "patchSize=2", "inChannels=1", "hiddenSize=16", "depth=1", "numHeads=2", "numClasses=3"];
  const more = ["learnSigma=false", "respacing=4", "guidance=2", "guidedChannels=1"];
  await bundleAt("dit", "dit", { set: [...set, ...more], entries: ["sample"] });
  const sample = (flags: object) =>
    command(
      (io) => sampleCommand(at("dit"), { set: [], seed: 7, scale: 1, weights: at("dit.safetensors"), ...flags } as never, io),
      true,
    );
  const good = await sample({ json: true, output: at("x.png"), class: [2, 0] });
  expect(good.code).toBe(0);
  expect(JSON.parse(good.out)).toEqual({
    output: at("x.png"),
    program: expect.stringMatching(/^[0-9a-f]{64}$/),
    shape: [2, 1, 4, 4],
    classes: [2, 0],
    seed: 7,
    seconds: expect.any(Number),
  });
  const bad = await sample({ json: true, output: at("y.png"), memory: 1000 });
  expect([bad.code, JSON.parse(bad.out).error[0].code, existsSync(at("y.png"))]).toEqual([1, "DIT6003", false]);
});
