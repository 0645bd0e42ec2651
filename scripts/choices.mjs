// `npm run test:choices`: every case of every choice of every kernel, and all of test/gpu at every subgroup width; `npm test` takes a
// sample of them. Each part that passed is noted in .cache/choices.json, so that a run which was interrupted goes on where it stopped as
// long as no file has changed; `--fresh` forgets.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { root } from "./dist.mjs";
import { flags } from "./flags.mjs";
import { runVitest } from "./run-vitest.mjs";

const { values } = flags({ options: { fresh: { type: "boolean", default: false } } });
process.chdir(root);

/** Of test/driver, what `npm test` takes samples or halves of. */
const sampled = "matmul attention configs golden-designs golden-minimum golden-ops half recompute train-laws".split(" ");
/** By subgroup width, by driver, and where nothing runs but all is looked at. */
const parts = [
  ...["lavapipe-4", "lavapipe-8", "lavapipe-16", "swiftshader"].map((project) => [project, "test/gpu/matmul.test.ts"]),
  ...["lavapipe-8", "swiftshader"].flatMap((project) => sampled.map((name) => [project, `test/driver/${name}.test.ts`])),
  ...["lavapipe-4", "lavapipe-16"].flatMap((project) =>
    ["golden", "kernels", "random-modules"].map((name) => [project, `test/gpu/${name}.test.ts`]),
  ),
  ["null", "test/null/races.test.ts"],
  ["null", "test/null/wgsl.test.ts"],
];

const git = (...args) => execFileSync("git", args, { encoding: "utf8", maxBuffer: 2 ** 28 });
const changed = git("ls-files", "--others", "--exclude-standard", "-z").split("\0").filter(Boolean);
const state = createHash("sha256").update(git("rev-parse", "HEAD")).update(git("diff", "HEAD"));
for (const file of changed) state.update(file).update(readFileSync(file));
const hash = state.digest("hex");

const note = ".cache/choices.json";
const known = existsSync(note) && !values.fresh ? JSON.parse(readFileSync(note, "utf8")) : {};
const done = known.state === hash ? known.done : {};
mkdirSync(".cache", { recursive: true });

for (const [project, file] of parts) {
  const name = `${project} ${file}`;
  if (done[name]) {
    console.log(`${name}: ${done[name].passed} passed before`);
    continue;
  }
  const start = performance.now();
  const counts = run(project, file);
  console.log(`${name}: ${counts.passed} passed, ${counts.failed} failed in ${Math.round((performance.now() - start) / 1000)} s`);
  if (counts.failed > 0 || counts.passed === 0) {
    console.log(`error: ${name}: ${counts.failed} failed, ${counts.passed} passed`);
    report(1 + counts.failed);
  }
  done[name] = counts;
  writeFileSync(`${note}.new`, `${JSON.stringify({ state: hash, done }, null, 2)}\n`);
  renameSync(`${note}.new`, note);
}
report(0);

function run(project, file) {
  const args = ["--project", project, file, "--testTimeout", "1200000"];
  const { status, projects } = runVitest(args, { DIT_CHOICES: "all" });
  const { passed = 0, failed = 0 } = projects[project] ?? {};
  return { passed, failed: status === 0 ? failed : Math.max(1, failed) };
}

function report(failed) {
  const passed = Object.values(done).reduce((sum, counts) => sum + counts.passed, 0);
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
}
