// Makes a model that comes with the package out of a run of `dit-compile train`: `node scripts/ship.mjs out/clothes models/clothes`.
// The average weights as half floats, what they were trained with, and how it went.
import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fromDist } from "./dist.mjs";

const [run, target] = process.argv.slice(2);
if (target === undefined) {
  console.error("usage: node scripts/ship.mjs RUN FOLDER");
  process.exit(1);
}
const { readBundle } = await fromDist("node/index.js");
const { writeFileAtomic } = await fromDist("formats/files.js");
const { readWeights, weightsFile } = await fromDist("trainer/weights.js");
const { program } = await readBundle(join(run, "bundle"));
const weights = await readWeights(join(run, "weights.safetensors"), program);
mkdirSync(target, { recursive: true });
await writeFileAtomic(join(target, "weights.safetensors"), weightsFile(program, weights, { average: "ema" }, "F16"));
for (const file of ["train.json", "curve.png", "ATTRIBUTION.txt"]) copyFileSync(join(run, file), join(target, file));
const last = readdirSync(join(run, "samples")).sort().at(-1);
copyFileSync(join(run, "samples", last), join(target, "samples.png"));
console.log(`wrote ${target}`);
