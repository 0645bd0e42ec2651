// `npm test`: everything a change must pass, on a fresh machine too. It installs and fetches what is missing, and says so.
//   npm test                                 all projects; both software adapters must run
//   npm test -- --adapters swiftshader       the open way to run with one of them
//   npm test -- -- test/ir -t "round trip"   what follows a second -- goes to vitest; adapters are then not demanded
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./dist.mjs";
import { installApart } from "./install-apart.mjs";
import { runVitest } from "./run-vitest.mjs";

process.chdir(root);

const adapters = ["lavapipe", "swiftshader"];
const { wanted, filters } = readArguments(process.argv.slice(2));
const problems = [];

if (!existsSync("node_modules")) step("packages are not installed: npm ci", "npm", ["ci"]);
step("build", process.execPath, ["scripts/build.mjs", "--if-changed"]);
check("typecheck", process.execPath, ["node_modules/typescript/lib/tsc.js", "--noEmit", "-p", "tsconfig.test.json"]);
check("lint", process.execPath, ["node_modules/@biomejs/biome/bin/biome", "check", "--error-on-warnings", "."]);
await fetchMissing();
// Here, so that no two test files do it at once.
installApart(join(root, "test/onnx/runtime"));

const counts = runAll();
const total = report(counts);
const { torch } = counts.projects;
if (torch?.skipped > 0) console.log(`note: PyTorch is not to be had here: ${torch.skipped} of its tests were not run, see above`);
for (const problem of problems) console.log(problem.startsWith("error") ? problem : `error: ${problem}`);
console.log(`${total.passed} passed, ${total.failed + problems.length} failed`);
process.exit(total.failed + problems.length > 0 ? 1 : 0);

function readArguments(args) {
  const split = args.indexOf("--");
  const own = split < 0 ? args : args.slice(0, split);
  let chosen = adapters;
  for (let i = 0; i < own.length; i++) {
    const value =
      own[i] === "--adapters" ? own[++i] : own[i].startsWith("--adapters=") ? own[i].slice("--adapters=".length) : undefined;
    chosen = value?.split(",") ?? [];
    if (chosen.length === 0 || chosen.some((name) => !adapters.includes(name))) {
      console.error(`usage: npm test -- [--adapters ${adapters.join(",")}] [-- vitest arguments]`);
      process.exit(2);
    }
  }
  return { wanted: chosen, filters: split < 0 ? [] : args.slice(split + 1) };
}

/** Runs a part; without it nothing that follows makes sense. */
function step(what, program, args) {
  console.log(`\n== ${what}`);
  const { status } = spawnSync(program, args, { stdio: "inherit" });
  if (status === 0) return;
  console.log(`error: ${what} failed\n0 passed, 1 failed`);
  process.exit(1);
}

/** Runs a part whose failure does not keep the tests from saying more. */
function check(what, program, args) {
  console.log(`\n== ${what}`);
  if (spawnSync(program, args, { stdio: "inherit" }).status !== 0) problems.push(`${what} failed`);
}

async function fetchMissing() {
  const load = (name) => import(pathToFileURL(join(root, "dist/runtime/node", name)).href);
  const { findDrivers } = await load("driver.js");
  const { findChromium } = await load("chromium.js");
  const fetching = await load("fetch.js");
  const kinds = new Set(findDrivers().map(({ kind }) => kind));
  const missing = wanted.filter((name) => !kinds.has(name));
  if (!findChromium()) missing.push("chromium");
  for (const name of missing) {
    console.log(`\n== ${name} is missing: ${fetching.fetches[name].why}`);
    problems.push(...fetching.fetchMissing([name], console.log));
  }
}

/** Runs all projects and returns the reporter's counts; whatever looks wrong besides a failed test is added to the problems. */
function runAll() {
  // Another sample of the kernels' choices at each commit, see test/gpu/sample.ts.
  const head = spawnSync("git", ["rev-parse", "HEAD"], { encoding: "utf8" }).stdout?.slice(0, 8) ?? "";
  const seed = process.env.DIT_CHOICES_SEED ?? String(Number.parseInt(head, 16) || 1);
  console.log(`\n== tests (DIT_CHOICES_SEED=${seed})`);
  const projects = ["cpu", "null", "web", "torch", ...wanted.map((name) => `${name}*`)].flatMap((name) => ["--project", name]);
  const counts = runVitest([...projects, ...filters], { DIT_CHOICES_SEED: seed, DIT_TEST_TORCH: "if-there" });
  const { status, signal } = counts;

  for (const [name, { unfinished, collected, passed, failed, skipped, adapter }] of Object.entries(counts.projects)) {
    const lost = Math.max(0, collected - passed - failed - skipped);
    if (unfinished.length === 0 && lost === 0) continue;
    const where = unfinished.length > 0 ? ` in ${unfinished.join(", ")}` : "";
    problems.push(`${name}: ${adapter ? "the driver" : "a worker"} died${where}; ${lost} tests of ${collected} gave no result`);
  }
  for (const name of filters.length > 0 ? [] : wanted) {
    const ran = Object.entries(counts.projects).filter(([project]) => project.startsWith(name));
    if (!ran.some(([, { passed }]) => passed > 0)) problems.push(`no test passed on ${name}`);
  }
  if (signal) problems.push(`vitest was killed (${signal})`);
  const failed = Object.values(counts.projects).some((project) => project.failed > 0);
  if (status !== 0 && !failed && problems.length === 0)
    problems.push(`vitest ended with ${status}: ${counts.errors[0] ?? "see above"}`);
  return counts;
}

/** Prints the table and returns the sums. */
function report({ projects }) {
  const rows = [["project", "adapter", "subgroup", "passed", "failed", "skipped"]];
  const total = { passed: 0, failed: 0 };
  for (const [name, { adapter, subgroup, passed, failed, skipped }] of Object.entries(projects)) {
    rows.push([name, adapter || "-", subgroup || "-", passed, failed, skipped].map(String));
    total.passed += passed;
    total.failed += failed;
  }
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  console.log(
    `\n${rows
      .map((row) =>
        row
          .map((cell, column) => cell.padEnd(widths[column]))
          .join("  ")
          .trimEnd(),
      )
      .join("\n")}\n`,
  );
  return total;
}
