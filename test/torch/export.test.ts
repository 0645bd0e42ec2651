/**
 * `dit-compile export --format torch` in PyTorch itself: every op of the table against the CPU reference; forward, loss, gradients and five
 * training steps of the golden model at the manifest's tolerances, in one process and in two; weights there and back.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { lazyValues } from "../../src/exports/lazy.js";
import { writeBody } from "../../src/exports/torch/body.js";
import { forms } from "../../src/exports/torch/ops.js";
import { part } from "../../src/exports/torch/write.js";
import { parseSafetensors, type StoredTensor, writeSafetensors } from "../../src/formats/safetensors.js";
import type { Module } from "../../src/ir/graph.js";
import { opTable } from "../../src/ir/ops/index.js";
import type { Sample } from "../../src/ir/ops/op.js";
import { dit, model } from "../cli/capture.js";
import { type GoldenFile, golden } from "../golden.js";
import { gradientModule, moduleOf, run } from "../ir/op-modules.js";
import { randomDense, randomOf, sampleInputs } from "../ir/samples.js";
import { fetchTorch, findTorch, type Python, startAll } from "./python.js";

let folder = "";
let python: Python | undefined;
/** Why there is none, where `npm test` may go on without. */
let missing = "";
const ifThere = process.env.DIT_TEST_TORCH === "if-there";
const at = (name: string): string => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "dit-torch-"));
  python = findTorch();
  if (python) return;
  console.log("torch is missing: fetching Debian's python3-torch …");
  try {
    fetchTorch();
  } catch (error) {
    missing = (error as Error).message;
    console.log(`torch is not to be had: ${missing}`);
    if (ifThere) return;
  }
  python = findTorch();
  if (!python)
    throw new Error(
      `no python3 can import torch: apt-get install python3-torch, or DIT_TORCH_PYTHON=/path/to/python3${missing && ` (${missing})`}`,
    );
}, 1_200_000);
beforeEach(({ skip }) => {
  if (!python) skip(missing);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const checker = join(import.meta.dirname, "check.py");
const goldenFile = join(import.meta.dirname, "../golden/model_adaln_zero.safetensors");

/** Runs works of check.py, in one process or several, and reads what it has written. */
async function check(
  works: string,
  exported: string,
  data = goldenFile,
  processes = 1,
): Promise<ReadonlyMap<string, StoredTensor>> {
  const out = at("found.safetensors");
  await startAll(python!, [checker, exported, works, out, data], processes, { CHECKPOINT: at("run.pt") });
  return parseSafetensors(readFileSync(out), out).tensors;
}

const floats = (tensors: ReadonlyMap<string, StoredTensor>, name: string) => tensors.get(name)!.data as Float32Array;

describe("ops", () => {
  test("the ops without a form are those that no forward pass contains", () => {
    const absent = [...opTable.keys()].filter((op) => !forms[op]).sort();
    expect(absent).toEqual(
      [
        ...[
          "accumulate",
          "attention_grad_kv",
          "attention_grad_q",
          "draw",
          "gelu_grad",
          "normalize_grad",
          "silu_grad",
          "sum_of_squares",
        ],
        "sum_runs",
      ].sort(),
    );
  });

  test("each op with each sample, and the ops of its gradient", async () => {
    const lines = [part("model"), part("files"), 'device = torch.device("cpu")', ""];
    const imports = ["base64", "json", "math", "mmap", "os", "zlib"].map((name) => `import ${name}`);
    const tensors = new Map<string, StoredTensor>();
    const expected = new Map<string, ArrayLike<number>>();
    const labels: string[] = [];
    const add = (label: string, module: Module, inputs: ReturnType<typeof sampleInputs>): void => {
      const [whole] = module.fns;
      const fn = { ...whole!, results: label.startsWith("attention") ? whole!.results.slice(0, 1) : whole!.results };
      const number = labels.push(label) - 1;
      const given = new Map(fn.params.map(({ value }, i) => [value, `x${i}`]));
      const body = writeBody({ steps: fn.nodes, given, results: fn.results.map((r) => r.value), lazy: lazyValues(fn) });
      const results = fn.results.map((r, i) => `"${r.name}": ${body.results[i]}`);
      lines.push(
        `def case_${number}(${[...given.values()].join(", ")}):`,
        ...[...body.lines, `return {${results.join(", ")}}`].map((line) => `    ${line}`),
        "",
      );
      fn.params.forEach(({ name, value }, i) => {
        const { shape, data } = inputs.get(name)!;
        const { dtype } = value.type;
        const stored =
          dtype === "f32"
            ? { dtype: "F32" as const, data: Float32Array.from(data) }
            : dtype === "bool"
              ? { dtype: "BOOL" as const, data: Uint8Array.from(data) }
              : { dtype: "I32" as const, data: Int32Array.from(data) };
        tensors.set(`${number}/x${i}`, { ...stored, shape: [...shape] });
      });
      const found = run(module, inputs, "f32");
      for (const r of fn.results) expected.set(`${number}/${r.name}`, found.get(r.name)!.data);
    };
    for (const row of [...opTable.values()].filter(({ op }) => forms[op])) {
      row.samples.forEach((sample, i) => {
        add(`${row.op} ${i}`, moduleOf(row, sample as Sample), sampleInputs(sample as Sample, 100 + i));
      });
      const [sample] = row.samples as readonly [Sample];
      if (typeof row.vjp !== "function" || sample.inputs.length === 0) continue;
      const module = gradientModule(row, sample);
      if (module.fns[0]!.nodes.some(({ op }) => !forms[op])) continue;
      const dy = randomDense(module.fns[0]!.params.at(-1)!.value.type, [-1, 1], randomOf(3));
      add(`gradient of ${row.op}`, module, new Map([...sampleInputs(sample, 7), ["dy", dy]]));
    }
    const cases = `CASES = [${labels.map((_, i) => `case_${i}`).join(", ")}]`;
    const file = [...imports, "import torch", "import torch.nn.functional as F", "from torch import nn", "", ...lines, cases, ""];
    writeFileSync(at("ops.py"), file.join("\n"));
    writeFileSync(at("in.safetensors"), writeSafetensors(tensors));
    const found = await check("ops", at("ops.py"), at("in.safetensors"));
    expect(labels.length).toBeGreaterThan(80);
    const wrong = [...expected].flatMap(([name, data]) => {
      const got = floats(found, name);
      const label = `${labels[Number(name.split("/")[0])]} ${name}`;
      if (got.length !== data.length) return `${label}: ${got.length} numbers, expected ${data.length}`;
      const largest = Array.from(data).reduce((most, x) => Math.max(most, Math.abs(x)), 1);
      const worst = Array.from(data).reduce((most, x, i) => Math.max(most, Math.abs(x - got[i]!)), 0);
      return worst <= 4e-6 * largest ? [] : `${label}: differs by ${worst} of ${largest}`;
    });
    expect(wrong).toEqual([]);
  });
});

/** Names that a golden file has: those of some designs hold a part of their tensors. */
function having(file: GoldenFile, keys: readonly string[]): string[] {
  const found = keys.filter((key) => file.tensors.has(key));
  expect(found.length).toBeGreaterThan(5);
  return found;
}

const wrong = (checks: readonly (string | undefined)[]) => checks.filter((said) => said !== undefined);

describe.each(["adaln_zero", "adaln", "cross_attention", "in_context"])("the golden model, %s", (block) => {
  const file = golden(`model_${block}`);
  const data = join(import.meta.dirname, `../golden/model_${block}.safetensors`);
  const names = [...file.weights().keys()].filter((name) => name !== "pos_embed");
  const exported = () => at(`${block}.py`);
  let found: ReadonlyMap<string, StoredTensor>;

  beforeAll(async () => {
    const { hidden_size } = file.config.config as { hidden_size: number };
    const { lr, betas, eps, weight_decay } = file.cases.train!.params as Record<string, number> & { betas: number[] };
    const set = [
      ...["emaWarmup=off", `block=${block}`, `hiddenSize=${hidden_size}`, `learningRate=${lr}`, `beta1=${betas[0]}`],
      ...[`beta2=${betas[1]}`, `epsilon=${eps}`, `weightDecay=${weight_decay}`],
    ].flatMap((setting) => ["--set", setting]);
    const said = await dit("export", model("dit"), "--preset", "tiny", ...set, "--format", "torch", "-o", exported());
    expect(said).toMatchObject({ code: 0, err: `wrote ${exported()}: DiT, preset tiny, model, loss and training\n` });
    // Most of a process is its start.
    if (python) found = await check("forward,loss,train", exported(), data);
  });

  test("forward and its gradients", () => {
    const keys = ["forward/out", "forward/dx", ...names.map((name) => `forward/d.${name}`)];
    expect(wrong(having(file, keys).map((key) => file.check(key, floats(found, key))))).toEqual([]);
  });

  test("the loss and its gradients", () => {
    const keys = ["loss/mse", "loss/vb", ...names.map((name) => `loss/d.${name}`)];
    expect(wrong(having(file, keys).map((key) => file.check(key, floats(found, key))))).toEqual([]);
    const mean = file.f32("loss/loss").reduce((a, b) => a + b, 0) / 4;
    expect(Math.abs(floats(found, "mean")[0]! - mean)).toBeLessThan(file.tolerance("loss/loss").atol!);
  });

  const sets = ["w5", "m5", "v5", "ema0.9999"];
  // Most of the time of several processes is their start: `npm test` has them once.
  const several = !ifThere || block === "adaln_zero";
  test.each(several ? [1, 2] : [1])("five steps in %i process(es), and the checkpoint comes back", async (processes) => {
    if (processes > 1) {
      rmSync(at("run.pt"));
      found = await check("train", exported(), data, processes);
    }
    expect(
      wrong([
        file.check("train/losses", floats(found, "train/losses")),
        ...having(
          file,
          sets.flatMap((set) => names.map((name) => `train/${set}.${name}`)),
        ).map((key) => file.check(key, floats(found, key))),
      ]),
    ).toEqual([]);
    const said = await dit("export", at("run.pt"), "--which", "model", "--set", "numHeads=4", "-o", at("back.safetensors"));
    expect(said.code, said.err).toBe(0);
    const { tensors } = parseSafetensors(readFileSync(at("back.safetensors")), "back");
    for (const name of names) expect(tensors.get(name)!.data, name).toEqual(found.get(`train/w5.${name}`)!.data);
  });
});

describe("the whole file", () => {
  const file = golden("model_adaln_zero");

  beforeAll(async () => {
    await dit("export", model("dit"), "--preset", "tiny", "--torch", "-o", at("whole.py"));
  });

  test("parameters have the official names and order, and the table of positions its numbers", async () => {
    const found = await check("fresh", at("whole.py"));
    const [positions, expected] = [floats(found, "pos_embed"), file.weights().get("pos_embed")!.data as Float32Array];
    const { parameter_order: order } = golden("tiny-expected").cases.optimizer as unknown as { parameter_order: string[] };
    expect([...found.keys()]).toEqual(order);
    expect(positions.every((x, i) => Math.abs(x - expected[i]!) < 1e-7)).toBe(true);
    expect(floats(found, "final_layer.linear.weight").every((x) => x === 0)).toBe(true);
  });

  test("the training loop: two processes as one, and a training that goes on as one that was not stopped", async () => {
    const random = randomOf(9);
    const latents = Float32Array.from({ length: 24 * 256 }, () => 2 * random() - 1);
    const labels = Int32Array.from({ length: 24 }, (_, i) => i % 10);
    const data = new Map<string, StoredTensor>([
      ["latents", { dtype: "F32", shape: [24, 4, 8, 8], data: latents }],
      ["labels", { dtype: "I32", shape: [24], data: labels }],
    ]);
    writeFileSync(at("latents.safetensors"), writeSafetensors(data));
    const train = (output: string, steps: number, processes: number, ...more: string[]) => {
      const args = [at("whole.py"), "--data", at("latents.safetensors"), "--global-batch-size", "8", "--steps", String(steps)];
      return startAll(python!, [...args, "--output", at(output), ...more], processes);
    };
    expect(await train("one.pt", 5, 1)).toMatch(/^step 5: mse \d\.\d+, vb \d\.\d+, loss \d\.\d+, \d+ s\n$/);
    await train("two.pt", 5, 2);
    await train("half.pt", 3, 1);
    await train("rest.pt", 5, 1, "--resume", at("half.pt"));
    const weights = async (name: string) => {
      const said = await dit("export", at(name), "--which", "model", "--set", "numHeads=4", "-o", at(`${name}.safetensors`));
      expect(said.code, said.err).toBe(0);
      return parseSafetensors(readFileSync(at(`${name}.safetensors`)), name).tensors;
    };
    const [one, two, rest] = [await weights("one.pt"), await weights("two.pt"), await weights("rest.pt")];
    for (const name of one.keys()) {
      expect(rest.get(name)!.data, name).toEqual(one.get(name)!.data);
      const { atol, rel_l2 } = { rel_l2: 0, atol: 0, ...(name === "pos_embed" ? {} : file.tolerance(`train/w5.${name}`)) };
      const [a, b] = [floats(one, name), floats(two, name)];
      // The bias of K has no gradient but rounding, which Adam makes as large as any other.
      const skip = /attn\.qkv\.bias$/.test(name) ? [64, 128] : [0, 0];
      const worst = a.reduce((most, x, i) => (i >= skip[0]! && i < skip[1]! ? most : Math.max(most, Math.abs(x - b[i]!))), 0);
      expect(worst, `${name}, ${rel_l2}`).toBeLessThanOrEqual(atol);
    }
  });
});
