// One work as a folder, so that every program, in JavaScript or not, reads the same numbers: task.json (what the model is),
// weights.safetensors, inputs.safetensors and, once our own program has run, expected.safetensors with what it found.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromDist } from "../../scripts/dist.mjs";

const { parseSafetensors, writeSafetensors } = await fromDist("formats/safetensors.js");
const { timestepFeatures } = await fromDist("diffusion/tables.js");
const { schedule } = await fromDist("diffusion/schedule.js");

/**
 * Writes what `program`, the compiled one, needs. Weights are as large as makes every layer count (variance 1 / inputs of the layer), so
 * that no term of the model can be wrong unseen; fresh weights would make each block the identity.
 */
export function writeTask(folder, work, program) {
  const { config } = program.model;
  const next = uniform(1);
  const weights = program.parameters.map(({ name, shape, trainable }) => {
    const reach = shape.length === 1 ? 0.1 : Math.sqrt(3 / product(shape.slice(1)));
    return { name, trainable, shape, data: Float32Array.from({ length: product(shape) }, () => reach * next()) };
  });
  const image = [work.batch, config.inChannels, config.inputSize, config.inputSize];
  const pixels = () => Float32Array.from({ length: product(image) }, () => Math.sqrt(3) * next());
  const [start, noise] = [pixels(), pixels()];
  const t = Int32Array.from({ length: work.batch }, (_, i) => (37 + 211 * i) % 1000);
  const y = Int32Array.from({ length: work.batch }, (_, i) => (7 * i) % config.numClasses);
  const { sqrtAlphasCumprod, sqrtOneMinusAlphasCumprod } = schedule("", 1000);
  const each = start.length / work.batch;
  const noised = start.map((value, i) => {
    const at = t[Math.floor(i / each)];
    return sqrtAlphasCumprod[at] * value + sqrtOneMinusAlphasCumprod[at] * noise[i];
  });
  const task = {
    ...{ name: work.name, kind: work.kind, preset: work.preset, batch: work.batch, set: work.set },
    ...pick(config, "inputSize", "patchSize", "inChannels", "hiddenSize", "depth", "numHeads", "numClasses"),
    ...pick(config, "learningRate", "beta1", "beta2", "epsilon"),
    outChannels: (config.learnSigma ? 2 : 1) * config.inChannels,
    mlpSize: Math.trunc(config.hiddenSize * config.mlpRatio),
    fixed: weights.filter(({ trainable }) => !trainable).map(({ name }) => name),
  };
  writeFileSync(join(folder, "task.json"), JSON.stringify(task, null, 2));
  write(folder, "weights", new Map(weights.map(({ name, shape, data }) => [name, { dtype: "F32", shape, data }])));
  write(
    folder,
    "inputs",
    new Map([
      ["x", { dtype: "F32", shape: image, data: noised }],
      ["x_start", { dtype: "F32", shape: image, data: start }],
      ["noise", { dtype: "F32", shape: image, data: noise }],
      ["t", { dtype: "I32", shape: [work.batch], data: t }],
      ["y", { dtype: "I32", shape: [work.batch], data: y }],
      // Sines of t, made here: a GPU's own are not exact at arguments up to 999, which is no part of this comparison.
      ["features", { dtype: "F32", shape: [work.batch, 256], data: Float32Array.from(timestepFeatures(t)) }],
    ]),
  );
}

/** { …task.json, folder, weights and inputs: Map of name to { shape, data } }. */
export function readTask(folder) {
  const task = JSON.parse(readFileSync(join(folder, "task.json"), "utf8"));
  return { ...task, folder, weights: read(folder, "weights"), inputs: read(folder, "inputs") };
}

export const writeExpected = (folder, results) =>
  write(
    folder,
    "expected",
    new Map([...results].map(([name, data]) => [name, { dtype: "F32", shape: [data.length], data: Float32Array.from(data) }])),
  );

export const readExpected = (folder) => new Map([...read(folder, "expected")].map(([name, { data }]) => [name, data]));

export const product = (sizes) => sizes.reduce((n, size) => n * size, 1);

const write = (folder, name, tensors) => writeFileSync(join(folder, `${name}.safetensors`), writeSafetensors(tensors));
const read = (folder, name) => parseSafetensors(readFileSync(join(folder, `${name}.safetensors`)), name).tensors;
const pick = (object, ...names) => Object.fromEntries(names.map((name) => [name, object[name]]));

/** Even in -1 … 1, the same in every run. */
function uniform(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}
