// `npm run fidelity`: every golden case on the GPU path, by adapter: the largest difference from PyTorch's numbers beside what is allowed.
//   npm run fidelity                        prints the table
//   npm run fidelity -- --write             and puts it into docs/fidelity.md
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { table } from "../bench/statistics.mjs";
import { root } from "./dist.mjs";
import { flags } from "./flags.mjs";
import { runVitest } from "./run-vitest.mjs";

const { values } = flags({ options: { write: { type: "boolean", default: false } } });
process.chdir(root);
const files = ["test/gpu/golden.test.ts", "test/driver/golden-designs.test.ts", "test/driver/golden-ops.test.ts"];
files.push("test/driver/golden-sampling.test.ts", "test/driver/import.test.ts");
const projects = ["lavapipe-8", "swiftshader"];
const folder = mkdtempSync(join(tmpdir(), "dit-compile-fidelity-"));
const log = join(folder, "comparisons.jsonl");
writeFileSync(log, "");
const { status } = runVitest([...projects.flatMap((name) => ["--project", name]), ...files], {
  DIT_FIDELITY: log,
  DIT_CHOICES: "all",
});
const lines = readFileSync(log, "utf8").trim().split("\n").filter(Boolean);
rmSync(folder, { recursive: true, force: true });

/** Of each case and adapter, the comparison that used most of its tolerance. */
const worst = new Map();
for (const line of lines) {
  // JSON has no infinity: a bound that is not there comes as null.
  const { project, name, difference, atol, ratio, relative } = JSON.parse(line);
  const [, file, tensor] = /^(.*?)\.safetensors: (.*)$/.exec(name) ?? [undefined, name, ""];
  const which = tensor.includes("/") ? tensor.slice(0, tensor.indexOf("/")) : tensor;
  const byAtol = atol === null ? 0 : difference / atol;
  const byRatio = relative === null ? 0 : ratio / relative;
  const key = `${file} ${which}\0${project}`;
  const found = {
    case: `${file}: ${which}`,
    project,
    tensor,
    share: Math.max(byAtol, byRatio),
    count: 1,
    difference,
    atol,
    ratio,
    relative,
    byAtol,
  };
  const known = worst.get(key);
  if (!known || found.share > known.share) worst.set(key, { ...found, count: (known?.count ?? 0) + 1 });
  else known.count++;
}
const rows = [...worst.values()]
  .sort((a, b) => (a.case + a.project < b.case + b.project ? -1 : 1))
  .map(({ case: what, project, tensor, count, difference, atol, ratio, relative, byAtol, share }) => {
    const [found, allowed, kind] = byAtol >= share ? [difference, atol, "largest"] : [ratio, relative, "relative L2"];
    return [
      what,
      project,
      String(count),
      tensor,
      `${kind} ${found.toExponential(1)}`,
      allowed.toExponential(1),
      share.toFixed(2),
    ];
  });
const head = ["case", "adapter", "compared", "nearest to its tolerance", "difference", "allowed", "share"];
console.log(`\n${table([head, ...rows])}`);
if (values.write) {
  const cells = (row) => `| ${row.join(" | ")} |`;
  const text = `# Fidelity

What the compiled programs compute beside what PyTorch computed in f64 (test/golden, with tolerances of 20 times what plain f32 deviates by),
case by case and adapter by adapter. Of each case the row shows the tensor that used most of its tolerance. Made by \`npm run fidelity -- --write\`.

${cells(head)}
${cells(head.map(() => "---"))}
${rows.map(cells).join("\n")}
`;
  writeFileSync("docs/fidelity.md", text);
}
process.exit(status ?? 1);
