// One job in a process of its own, so that no job finds another's compiled kernels or garbage: `node bench/job.mjs NAME RUNS`, with the
// driver's variables set by whoever starts it. The last line that it prints is the result as JSON.
import { fromDist } from "../scripts/dist.mjs";
import { attentionJob } from "./attention.mjs";
import { fewRowsJob } from "./few-rows.mjs";
import { jobs } from "./jobs.mjs";
import { matmulJob } from "./matmul.mjs";
import { referenceKernel, repeat, timed } from "./measure.mjs";
import { oddSizesJob } from "./odd-sizes.mjs";
import { referenceCode } from "./reference.mjs";
import { statistics } from "./statistics.mjs";

const [name, count] = process.argv.slice(2);
const job = jobs.find((candidate) => candidate.name === name);
if (!job) throw new Error(`there is no job "${name}"`);
const runs = Number(count);
const model = "models/dit.graph.ts";

const { compile } = await fromDist("compile/compile.js");
const kinds = {
  compile: compileJob,
  run: runJob,
  matmul: () => matmulJob(runs),
  attention: () => attentionJob(job, runs),
  few: () => fewRowsJob(runs),
  odd: () => oddSizesJob(runs),
};
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
  const { fillWeights, madeUpInputs } = await fromDist("profiler/fill.js");
  const { bundle, report } = await compile(model, { preset: job.preset, batch: job.batch, entries: [job.entry] });
  const dawn = await requestDevice();
  const reference = await referenceKernel(dawn, referenceCode());
  const referenceBeforeMs = await reference();

  let session;
  const loadMs = await timed(async () => {
    session = await createSession(bundle, dawn.device, { batch: job.batch, entries: [job.entry] });
  });
  await fillWeights(session);
  const inputs = madeUpInputs(
    bundle.program.entries.find(({ name }) => name === job.entry),
    job.batch,
  );
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
