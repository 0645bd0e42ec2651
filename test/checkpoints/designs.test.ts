/**
 * A `.pt` file of each block design, as the official code would save it, imported by the command: the design is known by its names, the
 * program that the file asks for takes the weights, and its forward in f64 is PyTorch's.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoints/open.js";
import { ditWeights } from "../../src/checkpoints/weights.js";
import { compile } from "../../src/compile/compile.js";
import { timestepTable } from "../../src/diffusion/tables.js";
import { withSource } from "../../src/formats/files.js";
import { concreteShape, evaluate } from "../../src/ir/eval.js";
import { openWeights } from "../../src/node/weights.js";
import { dit } from "../cli/capture.js";
import { golden } from "../golden.js";
import { stateDict, Tensor, torchFile } from "../torch-file.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "dit-designs-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each(["adaln_zero", "adaln", "in_context", "cross_attention"])("%s", async (block) => {
  const file = golden(`model_${block}`);
  const tensors = [...file.weights()].map(([name, { shape, data }]): [string, Tensor] => {
    return [name, new Tensor({ dtype: "F32", count: data.length, data: () => data as Float32Array }, shape)];
  });
  const [from, to] = [join(folder, `${block}.pt`), join(folder, `${block}.safetensors`)];
  writeFileSync(from, Buffer.concat([...torchFile(stateDict(Object.fromEntries(tensors)))]));
  const { code, err } = await dit("import", from, "-o", to);
  expect(code, err).toBe(0);

  const config = file.config.config as Readonly<Record<string, number | string>>;
  const guessed = await withSource(from, async (source) => ditWeights(await openCheckpoint(source), "ema").config);
  expect(guessed).toMatchObject({ block, hiddenSize: config.hidden_size, depth: config.depth, inputSize: config.input_size });
  const set = Object.entries({ ...guessed, numHeads: config.num_heads }).map(([key, value]) => `${key}=${value}`);
  const { bundle, graph } = await compile("models/dit.graph.ts", { preset: "tiny", set, entries: ["forward"] });
  const read = await openWeights(to, bundle.program);

  const batch = file.get("forward/y").shape[0]!;
  const given = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>();
  for (const { name, value } of graph.fns.find((fn) => fn.name === "forward")!.params) {
    const input = ["x", "t", "y"].includes(name) ? (file.get(`forward/${name}`).data as Float32Array) : undefined;
    const data = input ?? (name === "timestep_features" ? timestepTable() : await read(name));
    given.set(name, { shape: concreteShape(value.type, batch), data });
  }
  const out = evaluate(graph, "forward", given, { batch, precision: "f64" }).get("out")!;
  expect(file.check("forward/out", Float32Array.from(out.data))).toBeUndefined();
});
