// Dispatches, pipelines and memory of the compiled programs, beside what they may be at most. Whoever calls hands in `compile`.
const model = "models/dit.graph.ts";

/** Rows of what was counted: { what, found, limit, detail? }. A block's share is what one block more adds. */
export async function counts(compile) {
  const compiled = async (options) => (await compile(model, options)).report;
  const optimizer = async (preset) => {
    const { bundle } = await compile(model, { preset, batch: 1, entries: ["train_step"] });
    const { entries, parameters, storages, profile } = bundle.program;
    const dispatches = entries[0].segments.flatMap((segment) => segment.dispatches);
    const norm = dispatches.findIndex(({ label }) => label.startsWith("sum_of_squares"));
    const trained = parameters.filter(({ storage, trainable }) => storage !== undefined && trainable !== false);
    const bytes = trained.reduce((n, { storage }) => n + storages[storage].bytes, 0);
    const limit = Math.ceil(bytes / profile.limits.maxStorageBufferBindingSize) + 2;
    return { what: `${preset}, optimizer: dispatches`, found: dispatches.length - norm, limit };
  };
  const entry = (report, name) => report.entries.find((candidate) => candidate.name === name);
  const block = async (name) => {
    const of = async (depth) => {
      const report = await compiled({ preset: "DiT-S/4", batch: 2, set: [`depth=${depth}`], entries: [name] });
      const { dispatches, secondStages } = entry(report, name);
      return { dispatches, stages: Object.values(secondStages).reduce((a, n) => a + n, 0), secondStages };
    };
    const [two, three] = [await of(2), await of(3)];
    const stages = three.stages - two.stages;
    return { kernels: three.dispatches - two.dispatches - stages, stages, names: Object.keys(three.secondStages) };
  };
  const forward = await block("forward");
  const both = await block("loss_and_grad");
  const s4 = entry(await compiled({ preset: "DiT-S/4", batch: 2, entries: ["forward"] }), "forward");
  const small = entry(await compiled({ preset: "small", batch: 16, entries: ["train_step"] }), "train_step");
  return [
    { what: "a block, forward: dispatches", found: forward.kernels + forward.stages, limit: 8 },
    { what: "a block, forward and backward: dispatches but second stages", found: both.kernels, limit: 22 },
    { what: "a block, forward and backward: second stages", found: both.stages, limit: 6, detail: both.names },
    { what: "DiT-S/4 forward, batch 2: dispatches", found: s4.dispatches, limit: 110 },
    { what: "DiT-S/4 forward, batch 2: pipelines", found: s4.kernels, limit: 20 },
    { what: "training step, small, batch 16: dispatches", found: small.dispatches, limit: 180 },
    { what: "training step, small, batch 16: pipelines", found: small.kernels, limit: 60 },
    { what: "training step, small, batch 16: peak memory, MB", found: Math.ceil(small.peakTotal / 1e6), limit: 350 },
    await optimizer("small"),
    await optimizer("DiT-L/2"),
    await optimizer("DiT-XL/2"),
  ];
}
