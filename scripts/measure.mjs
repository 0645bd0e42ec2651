// `npm run measure`: all that we want to know of an adapter, in one JSON file to send back; docs/real-gpu.md says what and where to.
//   npm run measure                               the GPU of this machine
//   npm run measure -- --driver lavapipe          another adapter
//   npm run measure -- --only adapter,right       some of the parts
//   npm run measure -- --output FILE              where to write it
// Each part runs in processes of its own and survives the failure of another; what failed is in the file, and the exit code is 1. The file is
// written after each part: one that is stopped has what was found, and goes on with --only and the rest.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { commit } from "./commit.mjs";
import { fromDist, root } from "./dist.mjs";
import { flags } from "./flags.mjs";
import { FORMAT, measuredBefore, withoutPaths, writeMeasured } from "./measured.mjs";
import { runVitest } from "./run-vitest.mjs";

const { values } = flags({
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

/** What depends on the subgroup width, what on the driver alone, and commands and trainers. */
const tests = ["test/gpu", "test/driver", "test/one"];

/** `right` is last: it asks for the most kernels, and is what a driver is the likeliest to die of. */
const parts = {
  /** What WebGPU says of the adapter: name, limits, features, subgroup widths. */
  adapter() {
    const { dawn, drivers } = JSON.parse(node([cli, "doctor", "--driver", driver, "--json"]));
    return { dawn, ...drivers.find(({ kind }) => kind === driver).adapter };
  },
  /** Forward passes and training steps, with loading and first runs. */
  speed: () => bench(["forward", "train"]),
  /** Designs of the matmul on each product of DiT-S, beside the arithmetic ceiling. */
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
  /** Whether it computes what it should: golden data of PyTorch, every choice of every kernel. */
  right(keep) {
    const found = { passed: 0, failed: 0, skipped: 0, failures: [], errors: [], unfinished: [...tests] };
    for (const files of tests) {
      const args = ["--project", project, files, "--testTimeout", "1200000"];
      const { status, projects, errors } = runVitest(args, { DIT_CHOICES: "all", DIT_TEST_HARDWARE: "1" });
      const { passed = 0, failed = 0, skipped = 0, failures = [] } = projects[project] ?? {};
      found.passed += passed;
      found.skipped += skipped;
      // A worker that died has lost tests, not failed ones.
      found.failed += status === 0 && passed > 0 ? failed : Math.max(1, failed);
      found.failures.push(...failures);
      found.errors.push(...errors);
      found.unfinished.shift();
      keep(found);
    }
    const { unfinished: _, ...all } = found;
    if (all.failed === 0) return all;
    throw Object.assign(new Error(`${all.failed} tests failed, ${all.passed} passed`), { found: all });
  },
};

const chosen = values.only?.split(",") ?? Object.keys(parts);
if (project === undefined || chosen.some((name) => !(name in parts))) {
  console.error("usage: npm run measure -- [--driver hardware|lavapipe|swiftshader] [--only PART,…] [--output FILE]");
  console.error(`parts: ${Object.keys(parts).join(", ")}`);
  process.exit(1);
}

execFileSync(process.execPath, [join(root, "scripts/build.mjs"), "--if-changed"], { cwd: root, stdio: "inherit" });
const [{ chooseDriver }, { cacheFolder }] = await Promise.all(
  ["driver", "cache"].map((name) => fromDist(`runtime/node/${name}.js`)),
);
const adapter = adapterOf(driver);
const about = {
  node: process.version,
  platform: process.platform,
  arch: process.arch,
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  toggles: process.env.DIT_COMPILE_DAWN ?? "",
};
const run = { commit: commit(), adapter: adapter.description || adapter.device, about };
const plain = run.adapter
  .toLowerCase()
  .replaceAll(/[^a-z0-9]+/g, "-")
  .slice(0, 60);
const output = resolve(values.output ?? join(root, `measure-${plain}.json`));
const before = measuredBefore(output, run);
const kept = Object.keys(before.parts).filter((name) => !chosen.includes(name));
if (kept.length > 0) console.error(`${output} has ${kept.join(", ")} already`);
const result = { format: FORMAT, ...run, parts: { ...before.parts }, seconds: { ...before.seconds } };
for (const name of chosen) for (const known of [result.parts, result.seconds]) delete known[name];

const failures = [];
for (const name of chosen) {
  console.error(`== ${name}`);
  const start = performance.now();
  const keep = (found) => {
    result.parts[name] = found;
    result.seconds[name] = Math.round((performance.now() - start) / 100) / 10;
    writeMeasured(output, withoutPaths(result, folders()));
  };
  try {
    keep(parts[name](keep));
    console.error(`== ${name}: ${result.seconds[name]} s`);
  } catch (error) {
    failures.push(`${name}: ${error.message}`);
    keep({ ...error.found, failure: error.message });
    console.error(`== ${name}: failed after ${result.seconds[name]} s: ${error.message}`);
  }
}
for (const failure of failures) console.error(`error: ${failure}`);
console.error(`wrote ${output}`);
process.exit(failures.length > 0 ? 1 : 0);

/** Those that tell whose machine it is. */
function folders() {
  return [
    [root, "PROJECT"],
    [folder, "TEMPORARY"],
    [tmpdir(), "TEMPORARY"],
    [cacheFolder(), "CACHE"],
    [homedir(), "HOME"],
  ];
}

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
  if (status === 0) return stdout;
  throw Object.assign(new Error(signal ? `the process died (${signal})` : `the process ended with ${status}`), {
    found: readable(stdout),
  });
}

/** What a command said before it failed; `{ error: [ … ] }`, or as much as it found. */
function readable(stdout) {
  try {
    return JSON.parse(stdout);
  } catch {
    return {};
  }
}

function bench(jobs) {
  const file = join(folder, "bench.json");
  rmSync(file, { force: true });
  const args = [join(root, "scripts/bench.mjs"), ...jobs, "--adapter", driver, "--no-build", "--output", file];
  try {
    node(args);
  } catch (error) {
    // A job that failed does not take the others with it.
    throw existsSync(file) ? Object.assign(error, { found: JSON.parse(readFileSync(file, "utf8")) }) : error;
  }
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
  const { output: _, ...found } = JSON.parse(node([cli, "tune", bundle, "-e", entry, "--driver", driver, "-o", file, "--json"]));
  return found;
}
