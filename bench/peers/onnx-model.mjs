// The DiT as an ONNX file, for onnxruntime. Sizes are fixed, a product with its bias is one Gemm, norms and GELU are single ops, as the
// runtime's own optimizer would leave them. Attention is spelled out.
import onnxProto from "onnx-proto";
import { linearOf } from "./dit.mjs";

const { ModelProto, TensorProto, AttributeProto } = onnxProto.onnx;
const { FLOAT, INT32, INT64 } = TensorProto.DataType;

/**
 * The file as one has it when a session is made from it. Inputs: x [batch, channel, height, width], features [batch, 256], y i32 [batch];
 * output: out.
 */
export function ahead(task) {
  const g = graph();
  const { batch, hiddenSize: hidden, numHeads: heads, depth, patchSize: patch, inChannels, outChannels } = task;
  const grid = task.inputSize / patch;
  const tokens = grid * grid;
  const width = hidden / heads;
  const { weights } = task;
  const constant = (name) => g.tensor(name, weights.get(name).shape, weights.get(name).data);

  const dense = (x, name) => {
    const { weight, bias } = linearOf(task, name);
    return g.node("Gemm", [
      x,
      g.tensor(`${name}.weight`, weight.shape, weight.data),
      g.tensor(`${name}.bias`, bias.shape, bias.data),
    ]);
  };
  const silu = (x) => g.node("Mul", [x, g.node("Sigmoid", [x])]);
  const rows = (x) => g.reshape(x, [batch * tokens, hidden]);
  const cube = (x) => g.reshape(x, [batch, tokens, hidden]);
  const ones = g.tensor("ones", [hidden], new Float32Array(hidden).fill(1));
  const one = g.tensor("one", [1], Float32Array.of(1));
  const scaling = g.tensor("scaling", [1], Float32Array.of(width ** -0.5));

  /** `count` vectors regressed from the condition, each [batch, 1, hidden]. */
  const modulation = (condition, name, count) => g.split(g.reshape(dense(condition, name), [batch, 1, count * hidden]), count, 2);
  const adaptiveNorm = (x, shift, scale) => {
    const normal = g.node("LayerNormalization", [x, ones], { axis: -1, epsilon: 1e-6 });
    return g.node("Add", [g.node("Mul", [normal, g.node("Add", [scale, one])]), shift]);
  };

  const attention = (qkv) => {
    const apart = g.transpose(g.reshape(qkv, [batch, tokens, 3, heads, width]), [2, 0, 3, 1, 4]);
    const [q, k, v] = g.split(apart, 3, 0).map((part) => g.reshape(part, [batch, heads, tokens, width]));
    const scores = g.node("Mul", [g.node("MatMul", [q, g.transpose(k, [0, 1, 3, 2])]), scaling]);
    const mixed = g.node("MatMul", [g.node("Softmax", [scores], { axis: -1 }), v]);
    return g.transpose(mixed, [0, 2, 1, 3]);
  };
  const block = (x, condition, name) => {
    const [shift1, scale1, gate1, shift2, scale2, gate2] = modulation(condition, `${name}.adaLN_modulation.1`, 6);
    const qkv = dense(rows(adaptiveNorm(x, shift1, scale1)), `${name}.attn.qkv`);
    const mixed = dense(rows(attention(qkv)), `${name}.attn.proj`);
    const attended = g.node("Add", [x, g.node("Mul", [gate1, cube(mixed)])]);
    const wide = dense(rows(adaptiveNorm(attended, shift2, scale2)), `${name}.mlp.fc1`);
    const narrow = dense(g.node("FastGelu", [wide], {}, "com.microsoft"), `${name}.mlp.fc2`);
    return g.node("Add", [attended, g.node("Mul", [gate2, cube(narrow)])]);
  };

  const split = g.reshape("x", [batch, inChannels, grid, patch, grid, patch]);
  const patches = g.reshape(g.transpose(split, [0, 2, 4, 1, 3, 5]), [batch * tokens, inChannels * patch * patch]);
  const time = dense(silu(dense("features", "t_embedder.mlp.0")), "t_embedder.mlp.2");
  const label = g.node("Gather", [constant("y_embedder.embedding_table.weight"), "y"], { axis: 0 });
  const condition = silu(g.node("Add", [time, label]));
  let x = g.node("Add", [cube(dense(patches, "x_embedder.proj")), constant("pos_embed")]);
  for (let i = 0; i < depth; i++) x = block(x, condition, `blocks.${i}`);
  const [shift, scale] = modulation(condition, "final_layer.adaLN_modulation.1", 2);
  const pixels = dense(rows(adaptiveNorm(x, shift, scale)), "final_layer.linear");
  const image = g.transpose(g.reshape(pixels, [batch, grid, grid, patch, patch, outChannels]), [0, 5, 1, 3, 2, 4]);
  g.reshape(image, [batch, outChannels, task.inputSize, task.inputSize], "out");

  const { inputs } = task;
  return g.bytes({
    inputs: [
      ["x", FLOAT, inputs.get("x").shape],
      ["features", FLOAT, inputs.get("features").shape],
      ["y", INT32, [batch]],
    ],
    outputs: [["out", FLOAT, [batch, outChannels, task.inputSize, task.inputSize]]],
  });
}

/** Nodes and constants of one graph; a value is its name. */
function graph() {
  const nodes = [];
  const initializers = new Map();
  const attribute = (name, value) => {
    const { FLOAT: float, INT, INTS } = AttributeProto.AttributeType;
    if (Array.isArray(value)) return { name, type: INTS, ints: value };
    return Number.isInteger(value) ? { name, type: INT, i: value } : { name, type: float, f: value };
  };
  const add = (opType, input, attributes, domain, output) => {
    const pairs = Object.entries(attributes).map(([name, value]) => attribute(name, value));
    nodes.push({ opType, domain, input, output, name: `${opType}_${nodes.length}`, attribute: pairs });
    return output;
  };
  const node = (op, inputs, attributes = {}, domain = "", name = `v${nodes.length}`) =>
    add(op, inputs, attributes, domain, [name])[0];
  const tensor = (name, dims, data) => {
    const dataType = data instanceof BigInt64Array ? INT64 : FLOAT;
    const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    initializers.set(name, { name, dims, dataType, rawData });
    return name;
  };
  const shape = (sizes) => tensor(`shape ${sizes.join(" ")}`, [sizes.length], BigInt64Array.from(sizes, BigInt));
  return {
    node,
    tensor,
    reshape: (x, sizes, name) => node("Reshape", [x, shape(sizes)], {}, "", name),
    transpose: (x, perm) => node("Transpose", [x], { perm }),
    split: (x, count, axis) => {
      const names = Array.from({ length: count }, (_, i) => `v${nodes.length}.${i}`);
      return add("Split", [x], { axis }, "", names);
    },
    bytes: ({ inputs, outputs }) => {
      const port = ([name, elemType, sizes]) => {
        const dim = sizes.map((dimValue) => ({ dimValue }));
        return { name, type: { tensorType: { elemType, shape: { dim } } } };
      };
      const initializer = [...initializers.values()];
      const model = {
        irVersion: 8,
        opsetImport: [
          { domain: "", version: 17 },
          { domain: "com.microsoft", version: 1 },
        ],
        graph: { name: "DiT", node: nodes, initializer, input: inputs.map(port), output: outputs.map(port) },
      };
      const problem = ModelProto.verify(model);
      if (problem) throw new Error(`the ONNX model is not valid: ${problem}`);
      return ModelProto.encode(model).finish();
    },
  };
}
