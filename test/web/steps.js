// What the test runs in Node, in a page and in a worker, word for word: load the bundle, go forward, train three steps, sample. The
// results are the digests of every tensor, by name, so that a comparison can say which one differs.

const batch = 4;

/** `load` is the bundle's; `options` go to it. */
export async function steps(load, options = {}) {
  const seen = new Set();
  const onProgress = ({ stage, done, total }) => seen.add(done === total ? `${stage} done` : stage);
  const entries = ["forward", "train_step", "sample"];
  const session = await load({ batch, entries, weights: "weights.safetensors", onProgress, ...options });
  const tensors = {};
  const keep = async (label, outputs) => {
    for (const [name, data] of Object.entries(outputs)) tensors[`${label}: ${name}`] = await digest(data);
  };

  const random = uniform(1);
  const image = () => Float32Array.from({ length: batch * 4 * 8 * 8 }, random);
  const y = Int32Array.of(0, 3, 9, 10);
  const forward = await session.run("forward", { x: image(), t: Int32Array.of(0, 17, 500, 999), y });
  await keep("forward", forward);

  const losses = [];
  for (let step = 0; step < 3; step++) {
    const out = await session.run("train_step", {
      x_start: image(),
      y: Int32Array.of(1, 2, 3, 4),
      seed: [7],
      first: [step * batch],
    });
    losses.push(out.loss[0]);
  }
  const state = session.names.filter((name) => /^(p|m|v|ema)\./.test(name));
  await keep("after step 3", await session.read(state));

  // Several segments, in a browser in several submits.
  await keep("sample", await session.run("sample", { y, seed: [11], first: [0] }));

  const { memory, variants } = session;
  session.dispose();
  const numbers = { tensors, losses, first: [...forward.out.slice(0, 4)], variants, memory: memory.byKind };
  return { numbers, stages: [...seen] };
}

async function digest(data) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  const finite = data.every(Number.isFinite) ? "" : "not finite, ";
  const zero = data.every((x) => x === 0) ? "all zero, " : "";
  return `${zero}${finite}${[...bytes.slice(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** Numbers in -1 … 1, the same everywhere. */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround(state / 2 ** 31 - 1);
  };
}
