// `npm run measure`: all that we want to know of an adapter, in one JSON file to send back; docs/real-gpu.md says what and where to.
//   npm run measure                               the GPU of this machine
//   npm run measure -- --driver lavapipe          another adapter
//   npm run measure -- --only adapter,right       some of the parts
// Each part runs in processes of its own and survives the failure of another; what failed is in the file, and the exit code is 1.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { commit } from "./commit.mjs";
import { fromDist, root } from "./dist.mjs";
import { runVitest } from "./run-vitest.mjs";

const { values } = parseArgs({
  options: {
    driver: { type: "string", default: "hardware" },
    only: { type: "string" },
    output: { type: "string" },
  },
});
const { driver } = values;
const folder = mkdtempSync(join(tmpdir(), "dit-compile-measure-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const cli = join(root, "dist/cli/main.js");
/** The tests' project for an adapter. */
const project = { hardware: "hardware", lavapipe: "lavapipe-8", swiftshader: "swiftshader" }[driver];

const parts = {
  /** What WebGPU says of the adapter: name, limits, features, subgroup widths. */
  adapter: () => JSON.parse(node([cli, "doctor", "--driver", driver, "--json"])),
  /** Whether it computes what it should: golden data of PyTorch, every choice of every kernel. */
  right() {
    const files = ["test/gpu/golden.test.ts", "test/gpu/kernels.test.ts", "test/gpu/matmul.test.ts", "test/driver", "test/one"];
    const { projects, errors } = runVitest(["--project", project, ...files], { DIT_CHOICES: "all", DIT_TEST_HARDWARE: "1" });
    const found = { passed: 0, failed: 0, ...projects[project], errors };
    if (found.passed > 0 && found.failed === 0) return found;
    throw Object.assign(new Error(`${found.failed} tests failed, ${found.passed} passed`), { found });
  },
  /** Forward passes and training steps, with compile times and first runs. */
  speed: () => bench(["forward", "train"]),
  /** Each design of the matmul on each product of DiT-S, beside the arithmetic ceiling. */
  matmul: () => bench(["matmul"]),
  /** Time, FLOPs and bytes of each kernel, beside the ceilings. */
  profile: () => profiled("DiT-S/4", "forward", 2),
  profileOfTraining: () => profiled("small", "train_step", 16),
  /** Which design is the fastest for which product. */
  tuning: () => tuned("DiT-S/4", "forward", 2),
  tuningOfTraining: () => tuned("small", "train_step", 16),
  /** The same where numbers are stored in f16; with the designs for matrix units, where Dawn was told to have them. */
  tuningOfHalves() {
    const { features } = adapter;
    return features.includes("shader-f16") ? tuned("DiT-S/4", "forward", 8, "f16") : { lacks: "shader-f16" };
  },
};

const chosen = values.only?.split(",") ?? Object.keys(parts);
if (project === undefined || chosen.some((name) => !(name in parts))) {
  console.error("usage: npm run measure -- [--driver hardware|lavapipe|swiftshader] [--only PART,…] [--output FILE]");
  console.error(`parts: ${Object.keys(parts).join(", ")}`);
  process.exit(2);
}

execFileSync(process.execPath, [join(root, "scripts/build.mjs")], { cwd: root, stdio: "inherit" });
const { chooseDriver } = await fromDist("runtime/node/driver.js");
const adapter = adapterOf(driver);
const about = {
  node: process.version,
  platform: process.platform,
  arch: process.arch,
  cpu: cpus()[0]?.model,
  cores: cpus().length,
};
const result = {
  format: "dit-compile measure",
  commit: commit(),
  adapter: adapter.description || adapter.device,
  about,
  parts: {},
};
const failures = [];
for (const name of chosen) {
  console.error(`== ${name}`);
  try {
    result.parts[name] = parts[name]();
  } catch (error) {
    failures.push(`${name}: ${error.message}`);
    result.parts[name] = { failed: error.message, ...error.found };
  }
}
const plain = result.adapter
  .toLowerCase()
  .replaceAll(/[^a-z0-9]+/g, "-")
  .slice(0, 60);
const output = resolve(values.output ?? join(root, `measure-${plain}.json`));
writeFileSync(`${output}.new`, `${JSON.stringify(result, null, 2)}\n`);
renameSync(`${output}.new`, output);
for (const failure of failures) console.error(`error: ${failure}`);
console.error(`wrote ${output}`);
process.exit(failures.length > 0 ? 1 : 0);

/** Without it there is nothing to measure; the message says what to do. */
function adapterOf(kind) {
  try {
    return chooseDriver(kind).adapter;
  } catch (error) {
    console.error(error.message);
    return process.exit(1);
  }
}

function node(args) {
  const { status, signal, stdout } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 2 ** 28,
  });
  if (status !== 0)
    throw new Error(signal ? `the process died (${signal})` : stdout.trim() || `the process ended with ${status}`);
  return stdout;
}

function bench(jobs) {
  const file = join(folder, "bench.json");
  node([join(root, "scripts/bench.mjs"), ...jobs, "--adapter", driver, "--no-build", "--output", file]);
  return JSON.parse(readFileSync(file, "utf8"));
}

function bundleOf(preset, entry, batch, dtype = "f32") {
  const bundle = join(folder, `${preset}-${entry}-${dtype}`.replaceAll("/", "-"));
  node([cli, "models/dit.graph.ts", "-p", preset, "-b", String(batch), "-e", entry, "--dtype", dtype, "-o", bundle]);
  return bundle;
}

function profiled(preset, entry, batch) {
  return JSON.parse(node([cli, "profile", bundleOf(preset, entry, batch), "-e", entry, "--driver", driver, "--json"]));
}

function tuned(preset, entry, batch, dtype) {
  const file = join(folder, "tuning.json");
  const bundle = bundleOf(preset, entry, batch, dtype);
  return JSON.parse(node([cli, "tune", bundle, "-e", entry, "--driver", driver, "-o", file, "--json"]));
}
