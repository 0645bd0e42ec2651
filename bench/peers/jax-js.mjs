// The DiT in jax-js, as its documentation shows: pure functions of a tree of arrays, a whole pass or step in one jit, which fuses it.
// An array that is used again is passed as `.ref`: every function takes its arguments over.
import { defaultDevice, init, jit, nn, numpy as np, tree, valueAndGrad } from "@jax-js/jax";
import { asStored, linearOf, nameTree, weightTree } from "./dit.mjs";

const dense = (x, { weight, bias }) => np.matmul(x, weight).add(bias);

function attention(c, p, x) {
  const [batch, tokens, width] = x.shape;
  const qkv = dense(x, p.qkv).reshape([batch, tokens, 3, c.numHeads, width / c.numHeads]);
  const [q, k, v] = np.split(qkv, 3, 2).map((part) => np.squeeze(part, 2));
  return dense(nn.dotProductAttention(q, k, v).reshape([batch, tokens, width]), p.proj);
}

const mlp = (p, x) => dense(nn.gelu(dense(x, p.fc1)), p.fc2);

/** `count` vectors regressed from the condition, each [batch, 1, hidden]. */
const modulation = (p, condition, count) => np.split(np.expandDims(dense(condition, p), 1), count, -1);

const adaptiveNorm = (x, shift, scale) => nn.standardize(x, -1, { epsilon: 1e-6 }).mul(scale.add(1)).add(shift);

function block(c, p, x, condition) {
  const [shift1, scale1, gate1, shift2, scale2, gate2] = modulation(p.modulation, condition, 6);
  const attended = x.ref.add(gate1.mul(attention(c, p, adaptiveNorm(x, shift1, scale1))));
  return attended.ref.add(gate2.mul(mlp(p, adaptiveNorm(attended, shift2, scale2))));
}

/** x [batch, channel, height, width]; features of the timestep [batch, 256]; y [batch]. */
function dit(c, p, position, { x, features, y }) {
  const [batch, grid, patch] = [x.shape[0], c.inputSize / c.patchSize, c.patchSize];
  const patches = x
    .reshape([batch, c.inChannels, grid, patch, grid, patch])
    .transpose([0, 2, 4, 1, 3, 5])
    .reshape([batch, grid * grid, c.inChannels * patch * patch]);
  const time = dense(nn.silu(dense(features, p.time1)), p.time2);
  const condition = nn.silu(time.add(np.take(p.label, y, 0)));
  let tokens = dense(patches, p.patch).add(position);
  for (const weights of p.blocks) tokens = block(c, weights, tokens, condition.ref);
  const [shift, scale] = modulation(p.final.modulation, condition, 2);
  return dense(adaptiveNorm(tokens, shift, scale), p.final.linear)
    .reshape([batch, grid, grid, patch, patch, c.outChannels])
    .transpose([0, 5, 1, 3, 2, 4])
    .reshape([batch, c.outChannels, c.inputSize, c.inputSize]);
}

export async function forward(task) {
  const { params, position } = await load(task);
  const pass = jit((p, pos, inputs) => dit(task, p, pos, inputs));
  const run = () => pass(tree.ref(params), position.ref, inputsOf(task)).data();
  return { run };
}

export async function train(task) {
  const { params, position } = await load(task);
  const { beta1, beta2, epsilon, learningRate } = task;
  const loss = (p, pos, { noise, ...inputs }) => np.square(dit(task, p, pos, inputs).sub(noise)).mean();
  const update = jit((p, m, v, pos, inputs, { rate, correction }) => {
    const [value, gradient] = valueAndGrad(loss)(tree.ref(p), pos, inputs);
    const nextM = tree.map((old, g) => old.mul(beta1).add(g.mul(1 - beta1)), m, tree.ref(gradient));
    const nextV = tree.map((old, g) => old.mul(beta2).add(np.square(g).mul(1 - beta2)), v, gradient);
    const moved = (w, first, second) => w.sub(first.mul(rate.ref).div(np.sqrt(second).mul(correction.ref).add(epsilon)));
    const next = tree.map(moved, p, tree.ref(nextM), tree.ref(nextV));
    rate.dispose();
    correction.dispose();
    return [value, next, nextM, nextV];
  });
  const zeros = () => tree.map((w) => np.zeros(w.shape), params);
  let [p, m, v] = [params, zeros(), zeros()];
  let done = 0;
  const step = async () => {
    done++;
    const numbers = {
      rate: np.array([learningRate / (1 - beta1 ** done)]),
      correction: np.array([1 / Math.sqrt(1 - beta2 ** done)]),
    };
    let value;
    [value, p, m, v] = update(p, m, v, position.ref, inputsOf(task, "noise"), numbers);
    return (await value.data())[0];
  };
  const gradients = async () => {
    const names = tree.leaves(nameTree(task));
    const moments = await Promise.all(tree.leaves(m).map((array) => array.ref.data()));
    const unit = (data) => data.map((x) => x / (1 - beta1));
    return new Map(names.map((name, i) => [name, unit(asStored(name, moments[i], task))]));
  };
  return { step, gradients };
}

async function load(task) {
  const devices = await init("webgpu");
  if (!devices.includes("webgpu")) throw new Error("jax-js finds no WebGPU device");
  defaultDevice("webgpu");
  const array = ({ shape, data }) => np.array(data, { shape });
  const params = weightTree(
    task,
    (name) => {
      const { weight, bias } = linearOf(task, name);
      return { weight: array(weight), bias: array(bias) };
    },
    (name) => array(task.weights.get(name)),
  );
  return { params, position: array(task.weights.get("pos_embed")) };
}

function inputsOf({ inputs }, ...more) {
  const array = (name, dtype) => np.array(inputs.get(name).data, { shape: inputs.get(name).shape, dtype });
  const floats = ["x", "features", ...more].map((name) => [name, array(name, np.float32)]);
  return { ...Object.fromEntries(floats), y: array("y", np.int32) };
}
