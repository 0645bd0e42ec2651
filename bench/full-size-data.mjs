// What the full-size runs are given: weights, inputs and latents made of a seed, written a tensor at a time, nothing fetched.

/** xorshift32 (Marsaglia 2003): uniform in [-1, 1). */
export function uniform(seed) {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  };
}

const countOf = (shape) => shape.reduce((product, size) => product * size, 1);

/**
 * Weights of a preset by their official names. Fresh weights of a DiT make each block the identity, so these are others: every layer
 * counts, and the numbers keep their size through all of them.
 */
export async function makeWeights(from, path, preset, seed) {
  const { writeSafetensorsFile } = await from("formats/safetensors-file.js");
  const { shapes, make } = await weightsOf(from, preset, seed);
  const infos = new Map([...shapes].map(([name, shape]) => [name, { dtype: "F32", shape }]));
  await writeSafetensorsFile(path, infos, { format: "pt", seed: String(seed) }, async (name) => make(name));
}

/** The same, one by one in the order of the shapes. */
export async function weightsOf(from, preset, seed) {
  const [{ presets }, { officialParameters }, { positionTable }] = await Promise.all(
    ["checkpoints/config.js", "checkpoints/layout.js", "diffusion/tables.js"].map(from),
  );
  const config = presets.get(preset);
  const shapes = new Map(officialParameters(config).map(({ name, shape }) => [name, shape]));
  const next = uniform(seed);
  const make = (name) => {
    const shape = shapes.get(name);
    if (name === "pos_embed") return Float32Array.from(positionTable(config.hiddenSize, config.inputSize / config.patchSize));
    const values = new Float32Array(countOf(shape));
    // A variance of 1 / inputs; tables and biases as a trained model has them.
    const scale = shape.length === 1 || name.startsWith("y_embedder") ? 0.05 : Math.sqrt(3 / (values.length / shape[0]));
    for (let i = 0; i < values.length; i++) values[i] = scale * next();
    return values;
  };
  return { shapes, make };
}

/** Inputs of `forward` for some pictures; drawn with guidance, each of them is there once with its class and once without. */
export async function makeForwardInputs(from, path, { side, channels, classes, images, guided = true }) {
  const { writeSafetensors } = await from("formats/safetensors.js");
  const { writeFileAtomic } = await from("formats/files.js");
  const next = uniform(7);
  const one = Float32Array.from({ length: images * channels * side * side }, () => 1.7 * next());
  const batch = guided ? 2 * images : images;
  const data = new Float32Array((batch / images) * one.length);
  for (let at = 0; at < data.length; at += one.length) data.set(one, at);
  const tensors = new Map([
    ["x", { dtype: "F32", shape: [batch, channels, side, side], data }],
    ["t", { dtype: "I32", shape: [batch], data: Int32Array.from({ length: batch }, (_, i) => 500 - 370 * (i % images)) }],
    ["y", { dtype: "I32", shape: [batch], data: Int32Array.from({ length: batch }, (_, i) => (i < images ? 207 + i : classes)) }],
  ]);
  await writeFileAtomic(path, writeSafetensors(tensors));
}

/** Latents with labels, as `train --data` takes them. */
export async function makeLatents(from, path, { count, side, channels, classes }) {
  const { writeSafetensors } = await from("formats/safetensors.js");
  const { writeFileAtomic } = await from("formats/files.js");
  const next = uniform(11);
  const data = Float32Array.from({ length: count * channels * side * side }, () => 1.7 * next());
  const tensors = new Map([
    ["latents", { dtype: "F32", shape: [count, channels, side, side], data }],
    ["labels", { dtype: "I32", shape: [count], data: Int32Array.from({ length: count }, (_, i) => (37 * i) % classes) }],
  ]);
  await writeFileAtomic(path, writeSafetensors(tensors));
}
