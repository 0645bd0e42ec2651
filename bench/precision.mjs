// What storing in f16 costs in digits: the forward against the f64 reference, and losses of a training run against those of f32.

const largest = (a) => a.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
const apart = (a, b) => a.reduce((m, x, i) => Math.max(m, Math.abs(x - b[i])), 0);
const sizeAt = (size, batch) => (typeof size === "number" ? size : size.reduceRight((sum, c) => sum * batch + c, 0));

/** For each dtype the largest difference from f64, as a share of the largest value, and the plan. Weights are random and all count. */
export async function forwardErrors(from, device, { model, preset, batch }) {
  const [{ compile }, { evaluate }, { createSession }] = await Promise.all(
    ["compile/compile.js", "ir/eval.js", "runtime/session.js"].map(from),
  );
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const weights = new Map();
  const inputs = {};
  const values = { t: (i) => (37 * i) % 1000, y: (i) => i % 10 };
  let exact;
  const rows = [];
  for (const dtype of ["f32", "f16"]) {
    const { bundle, graph } = await compile(model, { preset, batch, dtype, entries: ["forward"] });
    const { program, constants } = bundle;
    const entry = program.entries[0];
    const session = await createSession(bundle, device, { batch, entries: ["forward"] });
    for (const { name, shape } of program.parameters) {
      const count = shape.reduce((n, size) => n * size, 1);
      const fan = shape.length > 1 ? count / shape[0] : 1;
      if (!weights.has(name))
        weights.set(
          name,
          Float32Array.from({ length: count }, () => next() / Math.sqrt(fan)),
        );
      await session.write(name, weights.get(name));
    }
    for (const { name, dtype: kind, shape } of entry.inputs.filter((port) => port.kind === "input")) {
      const count = shape.reduce((n, size) => n * sizeAt(size, batch), 1);
      inputs[name] ??= (kind === "i32" ? Int32Array : Float32Array).from({ length: count }, (_, i) =>
        (values[name] ?? Math.sin)(i),
      );
    }
    exact ??= reference(evaluate, graph, { program, constants, inputs, weights, batch });
    const { out } = await session.run("forward", inputs);
    rows.push({ dtype, error: apart(out, exact) / largest(exact), bytes: session.memory.total });
    session.dispose();
  }
  return rows;
}

function reference(evaluate, graph, { program, constants, inputs, weights, batch }) {
  const fn = graph.fns.find(({ name }) => name === "forward");
  const given = fn.params.map(({ name, value: { type } }) => {
    const shape = type.shape.map((size) => sizeAt(size, batch));
    const table = program.constants.find((c) => c.name === name);
    const count = shape.reduce((n, size) => n * size, 1);
    const data =
      inputs[name] ?? weights.get(name) ?? new Float32Array(constants.slice(table.offset, table.offset + 4 * count).buffer);
    return [name, { shape, data: Float64Array.from(data) }];
  });
  return evaluate(graph, "forward", new Map(given), { batch, precision: "f64" }).get("out").data;
}

/** The losses of every tenth step on these images, by dtype; the same weights, images and noise. */
export async function trainingLosses(from, device, { model, preset, set, batch, steps, images }) {
  const [{ compile }, { train }] = await Promise.all(["compile/compile.js", "trainer/loop.js"].map(from));
  const runs = [];
  for (const dtype of ["f32", "f16"]) {
    const { bundle } = await compile(model, { preset, set, batch, dtype, entries: ["train_step"] });
    const { losses } = await train({ bundle, device, images, steps, batch, seed: 1, logEvery: 10 });
    runs.push({ dtype, losses });
  }
  return runs;
}
