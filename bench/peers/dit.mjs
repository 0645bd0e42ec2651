// The DiT's weights by their part in the model instead of their names in a checkpoint: what each program's own form of it is built from.

/** A tree of the model: `linear` and `table` are called with the name of each linear map and of each table. Position is not trained. */
export function weightTree({ depth }, linear, table) {
  return {
    patch: linear("x_embedder.proj"),
    time1: linear("t_embedder.mlp.0"),
    time2: linear("t_embedder.mlp.2"),
    label: table("y_embedder.embedding_table.weight"),
    blocks: Array.from({ length: depth }, (_, i) => ({
      modulation: linear(`blocks.${i}.adaLN_modulation.1`),
      qkv: linear(`blocks.${i}.attn.qkv`),
      proj: linear(`blocks.${i}.attn.proj`),
      fc1: linear(`blocks.${i}.mlp.fc1`),
      fc2: linear(`blocks.${i}.mlp.fc2`),
    })),
    final: { modulation: linear("final_layer.adaLN_modulation.1"), linear: linear("final_layer.linear") },
  };
}

/** The same tree with names in the places of tensors, for results that come back in it. */
export const nameTree = (task) =>
  weightTree(
    task,
    (name) => ({ weight: `${name}.weight`, bias: `${name}.bias` }),
    (name) => name,
  );

/** A linear map as a product takes it, x · weight + bias: { weight [inputs, outputs], bias [outputs] } as { shape, data }. */
export function linearOf({ weights }, name) {
  const { shape, data } = weights.get(`${name}.weight`);
  const [outputs, inputs] = [shape[0], data.length / shape[0]];
  return { weight: { shape: [inputs, outputs], data: transposed(data, outputs) }, bias: weights.get(`${name}.bias`) };
}

/** From a program's own layout back to the checkpoint's: a matrix that has a bias beside it is a linear map. */
export const asStored = (name, data, { weights }) =>
  name.endsWith(".weight") && weights.has(name.replace(/weight$/, "bias"))
    ? transposed(data, data.length / weights.get(name).shape[0])
    : data;

/** The transpose of a matrix of `rows` rows. Checkpoints keep a linear map as [outputs, inputs]. */
function transposed(data, rows) {
  const columns = data.length / rows;
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) for (let c = 0; c < columns; c++) result[c * rows + row] = data[row * columns + c];
  return result;
}
