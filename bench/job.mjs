// One job in a process of its own, so that no job finds another's compiled kernels or garbage: `node bench/job.mjs NAME RUNS`, with the
// driver's variables set by whoever starts it. The last line that it prints is the result as JSON.
import { fromDist } from "../scripts/dist.mjs";
import { jobs } from "./jobs.mjs";
import { matmulJob } from "./matmul.mjs";
import { referenceKernel, repeat, timed } from "./measure.mjs";
import { statistics } from "./statistics.mjs";

const [name, count] = process.argv.slice(2);
const job = jobs.find((candidate) => candidate.name === name);
if (!job) throw new Error(`there is no job "${name}"`);
const runs = Number(count);
const model = "models/dit.graph.ts";

const { compile } = await fromDist("compile/compile.js");
const kinds = { compile: compileJob, run: runJob, matmul: () => matmulJob(runs) };
const result = await kinds[job.kind]();
console.log(JSON.stringify({ ...job, ...result }));
process.exit(0);

/** The first compile loads TypeScript; the others are what an editor or a watcher would see. */
async function compileJob() {
  let report;
  const one = () =>
    timed(async () => {
      ({ report } = await compile(model, { preset: job.preset, batch: job.batch }));
    });
  const firstMs = await one();
  const times = await repeat(runs, one);
  return { firstMs, ...statistics(times), parameters: report.parameters, kernels: report.kernels };
}

async function runJob() {
  const { requestDevice } = await fromDist("runtime/node/dawn.js");
  const { createSession } = await fromDist("runtime/session.js");
  const { bundle, report } = await compile(model, { preset: job.preset, batch: job.batch, entries: [job.entry] });
  const dawn = await requestDevice();
  const reference = await referenceKernel(dawn);
  const referenceBeforeMs = await reference();

  let session;
  const loadMs = await timed(async () => {
    session = await createSession(bundle, dawn.device, { batch: job.batch, entries: [job.entry] });
  });
  await fill(session, bundle.program);
  const inputs = inputsOf(bundle.program);
  const step = (given) =>
    timed(async () => {
      await session.submit(job.entry, given);
      await session.idle();
    });
  const firstMs = await step(inputs);
  await step();
  const times = await repeat(runs, () => step());
  const referenceAfterMs = await reference();

  const entry = report.entries.find((candidate) => candidate.name === job.entry);
  const found = statistics(times);
  return {
    adapter: dawn.info.description,
    driver: dawn.kind,
    loadMs,
    firstMs,
    ...found,
    referenceBeforeMs,
    referenceAfterMs,
    dispatches: entry.dispatches,
    kernels: entry.kernels,
    macs: entry.macs,
    gflopPerSecond: (2 * entry.macs) / found.medianMs / 1e6,
    parameters: report.parameters,
    memoryBytes: session.memory.total,
  };
}

/** Weights that are neither zero nor too small to be normal numbers: some CPUs are slow or fast on those. */
async function fill(session, program) {
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  for (const { name, shape } of program.parameters) {
    await session.write(
      name,
      Float32Array.from({ length: shape.reduce((n, size) => n * size, 1) }, () => 0.02 * next()),
    );
  }
}

function inputsOf(program) {
  const entry = program.entries.find((candidate) => candidate.name === job.entry);
  const sizeAt = (size) => (typeof size === "number" ? size : size.reduceRight((sum, c) => sum * job.batch + c, 0));
  const values = { t: (i) => (37 * i) % 1000, y: (i) => i % 10, seed: () => 1, first: () => 0 };
  const arrays = { f32: Float32Array, i32: Int32Array, u32: Uint32Array, bool: Uint32Array };
  const inputs = entry.inputs.filter(({ kind }) => kind === "input");
  return Object.fromEntries(
    inputs.map(({ name, dtype, shape }) => {
      const length = shape.reduce((n, size) => n * sizeAt(size), 1);
      return [name, arrays[dtype].from({ length }, (_, i) => (values[name] ?? ((k) => Math.sin(k)))(i))];
    }),
  );
}
