// `npm run memory`: the curve of memory against work for a training step of DiT-B/4, by plan, and with `--time N` the time of each of its
// points, the median of N rounds, in which they take turns with the first.
//   npm run memory -- [--preset DiT-B/4] [--batch 32] [--points 12] [--time N]
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { memoryCurve, timeOfBudgets } from "../bench/memory.mjs";
import { table } from "../bench/statistics.mjs";
import { fromDist, root } from "./dist.mjs";
import { flags } from "./flags.mjs";

const { values } = flags({
  options: {
    preset: { type: "string", default: "DiT-B/4" },
    batch: { type: "string", default: "32" },
    points: { type: "string", default: "12" },
    time: { type: "string" },
  },
});
const [batch, points] = [Number(values.batch), Number(values.points)];
execFileSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
process.chdir(root);
const job = { model: "models/dit.graph.ts", preset: values.preset, batch };
const curve = await memoryCurve(fromDist, { ...job, points });
console.log(`training step of ${values.preset}, batch ${batch}\n`);
const [first] = curve;
console.log(
  table([
    ["memory, MB", "of it saved", "more operations", "values computed again"],
    ...curve.map(({ bytes, work, values: n }) => [
      (bytes / 1e6).toFixed(0),
      `${((100 * (first.bytes - bytes)) / first.bytes).toFixed(1)} %`,
      `${(100 * work).toFixed(2)} %`,
      String(n),
    ]),
  ]),
);
if (values.time) {
  const budgets = curve.map(({ bytes }) => bytes);
  const times = await timeOfBudgets(fromDist, { ...job, budgets, rounds: Number(values.time) });
  const rows = times.map(({ bytes, ms, ratio }) => [(bytes / 1e6).toFixed(0), ms.toFixed(0), ratio.toFixed(2)]);
  console.log(`\n${table([["memory, MB", "ms a step", "against the first, in turn"], ...rows])}`);
  process.exit(0);
}
