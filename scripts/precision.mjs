// `npm run precision`: what `--dtype f16` costs in digits, on an adapter with shader-f16: the forward against the f64 reference, and the
// losses of 300 training steps on Fashion-MNIST beside those of f32.
//   npm run precision -- [--steps 300] [--driver lavapipe|swiftshader|hardware]
import { join } from "node:path";
import { forwardErrors, trainingLosses } from "../bench/precision.mjs";
import { table } from "../bench/statistics.mjs";
import { fromDist, root } from "./dist.mjs";
import { flags } from "./flags.mjs";

const { values } = flags({ options: { steps: { type: "string", default: "300" }, driver: { type: "string" } } });
process.chdir(root);
const [{ ensureDriver }, { requestDevice }, { openData }] = await Promise.all(
  ["runtime/node/driver.js", "runtime/node/dawn.js", "data/open.js"].map(fromDist),
);
await ensureDriver(values.driver);
const { device, info } = await requestDevice();
if (!device.features.has("shader-f16")) {
  console.error(`${info.description} has no shader-f16: choose another adapter with --driver`);
  process.exit(1);
}
const model = join(root, "models/dit.graph.ts");
console.log(`${info.description}\n\nforward, largest difference from f64 as a share of the largest value\n`);
const rows = [];
for (const [preset, batch] of [
  ["tiny", 4],
  ["fashion", 4],
  ["small", 2],
]) {
  for (const { dtype, error, bytes } of await forwardErrors(fromDist, device, { model, preset, batch }))
    rows.push([preset, String(batch), dtype, error.toExponential(1), (bytes / 1e6).toFixed(1)]);
}
console.log(table([["preset", "batch", "dtype", "differs by", "memory, MB"], ...rows]));

const steps = Number(values.steps);
const { train: images } = await openData("fashion-mnist", { download: true, side: 28, channels: 1 });
const set = ["learningRate=2e-3", "warmupSteps=50", "clipNorm=1"];
const [wide, narrow] = await trainingLosses(fromDist, device, { model, preset: "fashion", set, batch: 32, steps, images });
const mean = (list) => list.reduce((sum, { loss }) => sum + loss, 0) / list.length;
console.log(`\npreset fashion, batch 32, Fashion-MNIST: loss, the mean of every tenth step\n`);
const spans = Array.from({ length: Math.ceil(steps / 50) }, (_, i) => [50 * i, Math.min(steps, 50 * (i + 1))]);
console.log(
  table([
    ["steps", "f32", "f16", "differs by"],
    ...spans.map(([begin, end]) => {
      const [a, b] = [wide, narrow].map(({ losses }) => mean(losses.filter(({ step }) => step > begin && step <= end)));
      return [`${begin + 1} to ${end}`, a.toFixed(4), b.toFixed(4), `${((100 * (b - a)) / a).toFixed(2)} %`];
    }),
  ]),
);
const last = narrow.losses.at(-1);
console.log(`\nsteps that f16 did not take: ${last.skipped}; its loss scale at the end: ${last.lossScale}`);
process.exit(0);
