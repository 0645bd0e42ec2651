// `npm run demo`: trains the small model of models/dit.graph.ts on Fashion-MNIST and draws clothes with it, in ten minutes at most: two
// CPU cores need them all. On a fresh machine it installs packages, builds, and fetches a software driver and the images first, and
// says so.
//   npm run demo -- [--driver lavapipe|swiftshader|hardware] [--seconds N] [--out out] [--seed 0]
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fromDist, root } from "./dist.mjs";
import { flags } from "./flags.mjs";

const { values } = flags({
  options: {
    driver: { type: "string" },
    seconds: { type: "string" },
    out: { type: "string", default: "out" },
    seed: { type: "string", default: "0" },
  },
});
const seconds = values.seconds === undefined ? undefined : Number(values.seconds);
const seed = Number(values.seed);
const drivers = ["hardware", "lavapipe", "swiftshader"];
if (
  (seconds !== undefined && !(seconds >= 10)) ||
  !Number.isInteger(seed) ||
  (values.driver !== undefined && !drivers.includes(values.driver))
) {
  console.error(`usage: npm run demo -- [--driver ${drivers.join("|")}] [--seconds N] [--out out] [--seed 0]`);
  process.exit(1);
}

const say = (line) => console.log(line);
if (!existsSync(join(root, "node_modules"))) step("packages are not installed: npm ci", "npm", ["ci"]);
if (stale()) step("building", process.execPath, ["scripts/build.mjs"]);

const { errorMessage } = await fromDist("cli/io.js");
try {
  await main();
} catch (error) {
  console.error(errorMessage(error));
  process.exit(1);
}

async function main() {
  const begin = performance.now();
  const { ensureDriver } = await fromDist("runtime/node/driver.js");
  await driver(ensureDriver);
  const { requestDevice } = await fromDist("runtime/node/dawn.js");
  const { fetchFashionMnist } = await fromDist("data/fashion-mnist.js");
  const { compile } = await fromDist("compile/compile.js");
  const { writeBundle } = await fromDist("compile/bundle.js");
  const { demo, demoSettings } = await fromDist("trainer/demo.js");
  const { progress } = await fromDist("cli/progress.js");

  say(
    "Fashion-MNIST (Xiao, Rasul, Vollgraf 2017; MIT licence, 31 MB): real pictures of clothes, and small enough to learn in minutes",
  );
  const data = await fetchFashionMnist({ download: true });
  process.chdir(root);
  const { preset, set, batch, entries } = demoSettings;
  const { bundle, report } = await compile("models/dit.graph.ts", { preset, set: [...set], batch, entries: [...entries] });
  const { program } = bundle;
  say(`compiled models/dit.graph.ts, preset ${preset}: ${program.kernels.length} kernels, ${clock(begin)} since the start`);
  await writeBundle(bundle, join(values.out, "bundle"));
  const dawn = await requestDevice();
  say(`training on ${dawn.info.description}`);

  const bars = {};
  const result = await demo({
    bundle,
    device: dawn.device,
    data,
    outFolder: values.out,
    facts: { title: `DiT, preset ${preset}: the demo`, adapter: dawn.info.description, compileReport: report },
    seconds,
    seed,
    say,
    onProgress: (stage, done, total, note) => {
      bars[stage] ??= progress(stage === "train" ? "training" : "drawing ");
      bars[stage].update(done, total, note);
      if (done === total) bars[stage].end();
    },
  });
  for (const bar of Object.values(bars)) bar.end();
  dawn.dispose();
  say(
    `wrote ${["samples.png", "report.html", "loss.jsonl", "weights.safetensors", "bundle"].map((name) => join(values.out, name)).join(", ")}; ${clock(begin)}`,
  );
  if (result.missed.length === 0) return;
  for (const sentence of result.missed) console.error(`error: ${sentence}`);
  console.error(`  help: give it more time: npm run demo -- --seconds ${2 * (seconds ?? 600)}`);
  process.exitCode = 1;
}

/** Finds a driver; where there is none, fetches a software driver and looks again. */
async function driver(ensureDriver) {
  try {
    await ensureDriver(values.driver);
  } catch (error) {
    if (values.driver === "hardware") throw error;
    say("this machine has no driver that can be used: fetching one");
    const { fetchMissing } = await fromDist("runtime/node/fetch.js");
    const wanted = values.driver ? [values.driver] : ["lavapipe"];
    let failures = fetchMissing(wanted);
    if (failures.length > 0 && values.driver === undefined) failures = [...failures, ...fetchMissing(["swiftshader"])];
    for (const failure of failures) console.error(failure);
    await ensureDriver(values.driver);
  }
}

function step(what, program, args) {
  say(what);
  const { status } = spawnSync(program, args, { stdio: "inherit", cwd: root });
  if (status === 0) return;
  console.error(`error: ${what} failed`);
  process.exit(1);
}

/** Whether a source is newer than what was built of it. */
function stale() {
  const built = join(root, "dist/trainer/demo.js");
  if (!existsSync(built)) return true;
  const { mtimeMs } = statSync(built);
  return readdirSync(join(root, "src"), { recursive: true }).some((file) => statSync(join(root, "src", file)).mtimeMs > mtimeMs);
}

function clock(begin) {
  const s = Math.round((performance.now() - begin) / 1000);
  return s < 60 ? `${s} s` : `${Math.floor(s / 60)} min ${s % 60} s`;
}
