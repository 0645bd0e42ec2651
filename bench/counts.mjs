// Dispatches, pipelines and memory of the compiled programs, beside what they may be at most. Whoever calls hands in the compiler's `compile`
// and the runtime's `selectVariant`.
const model = "models/dit.graph.ts";

/** Devices on which a program runs in different ways: CPUs by the width of their vectors, a GPU, and one without subgroups. */
const devices = [
  ...[4, 8, 16].map((subgroupSize) => ({ subgroupSize, hardware: false })),
  { subgroupSize: 32, hardware: true },
  { features: [], hardware: true },
].map(({ features = ["subgroups"], ...facts }) => ({
  limits: {},
  subgroupSize: undefined,
  ...facts,
  features: new Set(features),
}));

/** Pipelines of a program on the device where they are most: texts that are the same there are one. */
const pipelinesOf = ({ program, wgsl }, selectVariant) =>
  Math.max(
    ...devices.map((facts) => {
      const texts = program.kernels.map((kernel) => wgsl[selectVariant(kernel, program, facts).variant.file]);
      return new Set(texts).size;
    }),
  );

/** Rows of what was counted: { what, found, limit, detail? }. A block's share is what one block more adds. */
export async function counts(compile, selectVariant) {
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
  const drawing = await compile(model, { preset: "DiT-S/4", batch: 2, entries: ["forward"] });
  const s4 = entry(drawing.report, "forward");
  const training = await compile(model, { preset: "small", batch: 16, entries: ["train_step"] });
  const small = entry(training.report, "train_step");
  return [
    { what: "a block, forward: dispatches", found: forward.kernels + forward.stages, limit: 8 },
    { what: "a block, forward and backward: dispatches but second stages", found: both.kernels, limit: 22 },
    { what: "a block, forward and backward: second stages", found: both.stages, limit: 6, detail: both.names },
    { what: "DiT-S/4 forward, batch 2: dispatches", found: s4.dispatches, limit: 110 },
    { what: "DiT-S/4 forward, batch 2: pipelines", found: pipelinesOf(drawing.bundle, selectVariant), limit: 20 },
    { what: "training step, small, batch 16: dispatches", found: small.dispatches, limit: 180 },
    { what: "training step, small, batch 16: pipelines", found: pipelinesOf(training.bundle, selectVariant), limit: 60 },
    { what: "training step, small, batch 16: peak memory, MB", found: Math.ceil(small.peakTotal / 1e6), limit: 350 },
    await optimizer("small"),
    await optimizer("DiT-L/2"),
    await optimizer("DiT-XL/2"),
  ];
}
