// The DiT in TensorFlow.js with its WebGPU backend, as its guides advise: everything in tidy, products with their bias through
// tf.fused.matMul, tokens as the rows of one matrix, training by an optimizer's minimize.
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu";
import { asStored, linearOf, weightTree } from "./dit.mjs";

const dense = (x, { weight, bias }) => tf.fused.matMul({ a: x, b: weight, bias });
const silu = (x) => x.mul(x.sigmoid());
/** The tanh form. */
const gelu = (x) =>
  x.mul(0.5).mul(
    x
      .mul(x.square().mul(0.044715).add(1))
      .mul(Math.sqrt(2 / Math.PI))
      .tanh()
      .add(1),
  );

/** x [batch · token, hidden]. */
function attention(c, p, x, batch) {
  const [tokens, width] = [x.shape[0] / batch, c.hiddenSize / c.numHeads];
  const qkv = dense(x, p.qkv).reshape([batch, tokens, 3, c.numHeads, width]).transpose([2, 0, 3, 1, 4]);
  const [q, k, v] = tf.unstack(qkv);
  const weights = tf.softmax(tf.matMul(q, k, false, true).mul(width ** -0.5));
  const heads = tf.matMul(weights, v).transpose([0, 2, 1, 3]);
  return dense(heads.reshape([batch * tokens, c.hiddenSize]), p.proj);
}

/** `count` vectors regressed from the condition, each [batch, 1, hidden]. */
const modulation = (p, condition, count) => tf.split(dense(condition, p).expandDims(1), count, 2);

/** x [batch, token, hidden]. */
function adaptiveNorm(x, shift, scale) {
  const { mean, variance } = tf.moments(x, -1, true);
  return x.sub(mean).mul(variance.add(1e-6).rsqrt()).mul(scale.add(1)).add(shift);
}

function block(c, p, x, condition) {
  const [batch] = x.shape;
  const rows = (tokens) => tokens.reshape([-1, c.hiddenSize]);
  const [shift1, scale1, gate1, shift2, scale2, gate2] = modulation(p.modulation, condition, 6);
  const mixed = attention(c, p, rows(adaptiveNorm(x, shift1, scale1)), batch);
  const attended = x.add(gate1.mul(mixed.reshape(x.shape)));
  const wide = gelu(dense(rows(adaptiveNorm(attended, shift2, scale2)), p.fc1));
  return attended.add(gate2.mul(dense(wide, p.fc2).reshape(x.shape)));
}

/** x [batch, channel, height, width]; features of the timestep [batch, 256]; y [batch]. */
function dit(c, p, position, { x, features, y }) {
  const [batch, grid, patch] = [x.shape[0], c.inputSize / c.patchSize, c.patchSize];
  const patches = x
    .reshape([batch, c.inChannels, grid, patch, grid, patch])
    .transpose([0, 2, 4, 1, 3, 5])
    .reshape([batch * grid * grid, c.inChannels * patch * patch]);
  const time = dense(silu(dense(features, p.time1)), p.time2);
  const condition = silu(time.add(tf.gather(p.label, y)));
  let tokens = dense(patches, p.patch)
    .reshape([batch, grid * grid, c.hiddenSize])
    .add(position);
  for (const weights of p.blocks) tokens = block(c, weights, tokens, condition);
  const [shift, scale] = modulation(p.final.modulation, condition, 2);
  return dense(adaptiveNorm(tokens, shift, scale).reshape([-1, c.hiddenSize]), p.final.linear)
    .reshape([batch, grid, grid, patch, patch, c.outChannels])
    .transpose([0, 5, 1, 3, 2, 4])
    .reshape([batch, c.outChannels, c.inputSize, c.inputSize]);
}

export async function forward(task) {
  const { params, position } = await load(task, ({ data, shape }) => tf.tensor(data, shape));
  const run = async () => {
    const out = tf.tidy(() => dit(task, params, position, inputsOf(task)));
    const data = await out.data();
    out.dispose();
    return data;
  };
  return { run };
}

export async function train(task) {
  const variables = [];
  const { params, position } = await load(task, ({ data, shape }, name) => {
    const variable = tf.tidy(() => tf.variable(tf.tensor(data, shape), true, name));
    variables.push(variable);
    return variable;
  });
  const optimizer = tf.train.adam(task.learningRate, task.beta1, task.beta2, task.epsilon);
  const loss = () => {
    const { noise, ...inputs } = inputsOf(task, "noise");
    return dit(task, params, position, inputs).sub(noise).square().mean();
  };
  const step = async () => {
    const cost = tf.tidy(() => optimizer.minimize(loss, true, variables));
    const [value] = await cost.data();
    cost.dispose();
    return value;
  };
  const gradients = async () => {
    const found = new Map();
    for (const { name, tensor } of await optimizer.getWeights()) {
      const weight = /^(.*)\/m$/.exec(name)?.[1];
      if (weight)
        found.set(
          weight,
          asStored(
            weight,
            (await tensor.data()).map((m) => m / (1 - task.beta1)),
            task,
          ),
        );
    }
    return found;
  };
  return { step, gradients };
}

async function load(task, tensor) {
  // The backend asks for a window before it asks for WebGPU.
  globalThis.window ??= globalThis;
  if (!(await tf.setBackend("webgpu"))) throw new Error("TensorFlow.js finds no WebGPU device");
  await tf.ready();
  const linear = (name) => {
    const { weight, bias } = linearOf(task, name);
    return { weight: tensor(weight, `${name}.weight`), bias: tensor(bias, `${name}.bias`) };
  };
  const params = weightTree(task, linear, (name) => tensor(task.weights.get(name), name));
  const { data, shape } = task.weights.get("pos_embed");
  return { params, position: tf.tensor(data, shape) };
}

function inputsOf({ inputs }, ...more) {
  const tensor = (name, dtype) => tf.tensor(inputs.get(name).data, inputs.get(name).shape, dtype);
  const floats = ["x", "features", ...more].map((name) => [name, tensor(name, "float32")]);
  return { ...Object.fromEntries(floats), y: tensor("y", "int32") };
}
