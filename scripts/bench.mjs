// Times the compiler and its programs, each job on each adapter in a process of its own; a table, and everything in out/bench.json.
//   npm run bench                                       all jobs but those that are asked for by name, on lavapipe and SwiftShader
//   npm run bench -- forward --adapter lavapipe         jobs whose name has this word, on one adapter (hardware, lavapipe, swiftshader)
//   npm run bench -- "train fashion" --runs 10
//   npm run bench -- matmul                             each design on each product of DiT-S, beside the arithmetic ceiling
//   npm run bench -- "attention 64" "few rows"          kernels beside what they may take at most; also "attention 256", "odd sizes"
//   npm run bench -- --peers                            other programs beside ours, on the same work; a table and out/peers.json
//   npm run bench -- --output FILE                      in place of out/bench.json, or out/peers.json
//   npm run bench -- --peers --only jax-js "forward DiT-S" --adapter chromium
// It builds first, so that what is measured is what is written; --no-build takes dist/ as it is.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { jobs } from "../bench/jobs.mjs";
import { matmulReport } from "../bench/matmul.mjs";
import { peers } from "../bench/peers/peers.mjs";
import { works } from "../bench/peers/works.mjs";
import { ratiosReport } from "../bench/ratios.mjs";
import { ms, table } from "../bench/statistics.mjs";
import { commit } from "./commit.mjs";
import { fromDist, root } from "./dist.mjs";
import { flags } from "./flags.mjs";

const { values, positionals } = flags({
  allowPositionals: true,
  options: {
    adapter: { type: "string", multiple: true },
    runs: { type: "string", default: "5" },
    peers: { type: "boolean", default: false },
    only: { type: "string", multiple: true },
    "no-build": { type: "boolean", default: false },
    output: { type: "string" },
  },
});
// Chromium brings its SwiftShader along: a page as it is used.
const kinds = ["hardware", "lavapipe", "swiftshader", ...(values.peers ? ["chromium"] : [])];
const adapters = values.adapter ?? ["lavapipe", values.peers ? "chromium" : "swiftshader"];
const runs = Number(values.runs);
const chosen = (values.peers ? works : jobs).filter(({ name, named }) =>
  positionals.length === 0 ? !named : positionals.some((word) => name.includes(word)),
);
const unknown = (values.only ?? []).some((name) => !values.peers || !peers.some((peer) => peer.name === name));
if (adapters.some((kind) => !kinds.includes(kind)) || !(Number.isInteger(runs) && runs >= 1) || chosen.length === 0 || unknown) {
  const names = (list) => list.map(({ name }) => name).join(", ");
  console.error(`usage: npm run bench -- [JOB …] [--adapter ${kinds.join("|")}] [--runs N] [--output FILE] [--no-build]`);
  console.error("       npm run bench -- --peers [WORK …] [--only PEER] …");
  console.error(`jobs: ${names(jobs)}\nworks: ${names(works)}\npeers: ${names(peers)}`);
  process.exit(1);
}

if (!values["no-build"]) execFileSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
const machine = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version, platform: process.platform };
const output = resolve(values.output ?? join(root, values.peers ? "out/peers.json" : "out/bench.json"));
if (values.peers) {
  // Not before dist/ is there.
  const [{ comparePeers }, { peersReport }] = await Promise.all([
    import("../bench/peers/compare.mjs"),
    import("../bench/peers/report.mjs"),
  ]);
  const results = [];
  // All of them take an hour: what was found is kept as it comes.
  for await (const result of comparePeers({ works: chosen, adapters, only: values.only, runs })) {
    results.push(result);
    save({ results });
    write(output.replace(/(\.json)?$/, ".md"), `${heading()}\n\n${peersReport(results)}\n`);
  }
  console.log(`${heading()}\n\n${peersReport(results)}\n`);
  // Others may fail; without our own numbers there is nothing to hold them against.
  process.exit(results.some(({ programs }) => programs[0].failed) ? 1 : 0);
}
const { chooseDriver, driverEnv } = await fromDist("runtime/node/driver.js");
// Compile jobs need no adapter.
const work = chosen.flatMap((job) => (job.kind === "compile" ? [{ job }] : adapters.map((adapter) => ({ job, adapter }))));
const results = [];
const failures = [];
for (const { job, adapter } of work) {
  console.error(`${job.name}${adapter ? ` on ${adapter}` : ""} …`);
  try {
    results.push(measure(job, adapter));
  } catch (error) {
    failures.push(`${job.name}${adapter ? ` on ${adapter}` : ""}: ${error.message}`);
  }
}

save({ results, failures });
console.log(`${heading()}\n`);
console.log(report());
for (const r of results) {
  if (r.kind === "matmul") console.log(`\n${matmulReport(r)}`);
  if (r.rows) console.log(`\n${ratiosReport(r)}`);
}
console.log(`\nwrote ${output}`);
for (const failure of failures) console.error(`error: ${failure}`);
process.exit(failures.length > 0 ? 1 : 0);

/** Runs a job in a child with the driver's variables and an empty shader cache, so that the first run is a first run. */
function measure(job, adapter) {
  const cache = mkdtempSync(join(tmpdir(), "dit-compile-bench-"));
  try {
    const driver = adapter ? driverEnv(chooseDriver(adapter)) : {};
    const env = { ...process.env, ...driver, MESA_SHADER_CACHE_DIR: cache };
    const { status, signal, stdout } = spawnSync(process.execPath, [join(root, "bench/job.mjs"), job.name, String(runs)], {
      cwd: root,
      env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
    if (status !== 0) throw new Error(signal ? `the process died (${signal})` : `the process ended with ${status}`);
    return JSON.parse(stdout.trim().split("\n").at(-1));
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}

function save(found) {
  mkdirSync(dirname(output), { recursive: true });
  const about = { commit: commit(), date: new Date().toISOString(), machine, runs };
  write(output, `${JSON.stringify({ ...about, ...found }, null, 2)}\n`);
}

function write(file, text) {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

function heading() {
  return `commit ${commit()}, Node ${process.version}, ${machine.cores} × ${machine.cpu}, ${runs} runs after warm-up`;
}

/** Times in milliseconds. `first` is the first run: for a program, with the driver's own compiling; `reference` before and after. */
function report() {
  const head = [
    "job",
    "adapter",
    "batch",
    "load",
    "first",
    "median",
    "min",
    "max",
    "spread",
    "GFLOP/s",
    "dispatches",
    "MiB",
    "reference",
  ];
  const rows = results.flatMap((r) => (r.kind === "matmul" || r.rows ? [] : [row(r)]));
  return rows.length === 0 ? "" : table([head, ...rows]);
}

function row(r) {
  return [
    r.name,
    r.driver ?? "-",
    String(r.batch),
    ms(r.loadMs),
    ms(r.firstMs),
    ms(r.medianMs),
    ms(r.minMs),
    ms(r.maxMs),
    `${Math.round(r.spread * 100)} %`,
    r.gflopPerSecond === undefined ? "" : r.gflopPerSecond.toPrecision(3),
    r.dispatches === undefined ? "" : String(r.dispatches),
    r.memoryBytes === undefined ? "" : (r.memoryBytes / 2 ** 20).toFixed(0),
    r.referenceBeforeMs === undefined ? "" : `${ms(r.referenceBeforeMs)} → ${ms(r.referenceAfterMs)}`,
  ];
}
