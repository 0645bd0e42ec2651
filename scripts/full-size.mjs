// `npm run full-size`: DiTs at their full size on this machine, checked, with the memory of their processes beside the plan.
//   npm run full-size                               all of it: on a software driver hours
//   npm run full-size -- --only forward,trainS      some of the works; f64 is one of them
//   npm run full-size -- --driver hardware          on another adapter than the best that is there
//   npm run full-size -- --write                    puts what was found into docs/full-size.md; with --only "" what was found before
//   npm run full-size -- --folder DIR               in place of out/full-size
// Weights are made of a seed, in that folder (8 GB), and kept with what was found, so that works can be done one by one.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BESIDE, fullSize, works } from "../bench/full-size.mjs";
import { table } from "../bench/statistics.mjs";
import { fromDist, root } from "./dist.mjs";
import { flags } from "./flags.mjs";

const { values } = flags({
  options: {
    only: { type: "string" },
    driver: { type: "string" },
    folder: { type: "string", default: "out/full-size" },
    write: { type: "boolean", default: false },
    // Of this script itself: the part in f64 needs the driver's variables, and so a process of its own.
    exact: { type: "string" },
  },
});
const names = [...Object.keys(works), "f64"];
const chosen = values.only?.split(",").filter(Boolean) ?? names;
if (!chosen.every((name) => names.includes(name))) {
  console.error(`usage: npm run full-size -- [--only PART,…] [--driver hardware|lavapipe|swiftshader] [--write]`);
  console.error(`parts: ${names.join(", ")}`);
  process.exit(1);
}
process.chdir(root);
const say = (line) => console.log(line);
const found = join(values.folder, "found.json");

if (values.exact) {
  const { endToEnd } = await import("../bench/exact.mjs");
  const { ensureDriver } = await fromDist("runtime/node/driver.js");
  await ensureDriver(values.driver);
  writeFileSync(values.exact, JSON.stringify(await endToEnd(fromDist, say)));
  process.exit(0);
}

if (chosen.length > 0) execFileSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
mkdirSync(values.folder, { recursive: true });
const results = existsSync(found) ? JSON.parse(readFileSync(found, "utf8")) : {};
let failed = false;
for (const work of chosen) {
  try {
    results[work] =
      work === "f64" ? exact() : await fullSize(fromDist, { root, folder: values.folder, work, driver: values.driver, say });
    results[work].adapter = adapter();
    writeFileSync(found, JSON.stringify(results, null, 2));
  } catch (error) {
    failed = true;
    console.error(error.message);
  }
}

const mb = (bytes) => (bytes / 1e6).toFixed(0);
const rows = Object.keys(works)
  .filter((work) => results[work])
  .map((work) => {
    const { what, check, seconds, peak, plan } = results[work];
    const over = peak - plan;
    if (over > BESIDE || check.wrong.length > 0) failed = true;
    return [
      what,
      mb(plan),
      mb(peak),
      `${mb(over)}${over > BESIDE ? " **too much**" : ""}`,
      check.dispatches.toLocaleString("en-US"),
      check.outputs.toLocaleString("en-US"),
      String(check.wrong.length),
      check.worst.share.toFixed(2),
      seconds.toFixed(0),
    ];
  });
const head = [
  "what",
  "plan, MB",
  "process, MB",
  "more, MB",
  "dispatches",
  "outputs in f64",
  "wrong",
  "farthest, of what is allowed",
  "seconds, checks included",
];
if (rows.length > 0) console.log(`\n${table([head, ...rows])}`);
const exactRows = (results.f64?.rows ?? []).map(({ preset, entry, batch, tensors, worst, name, limit }) => {
  if (!(worst <= limit)) failed = true;
  return [preset, entry, String(batch), String(tensors), worst.toExponential(1), name, limit.toExponential(0)];
});
const exactHead = ["preset", "entry", "batch", "tensors compared", "differs by", "in", "allowed"];
if (exactRows.length > 0) console.log(`\n${table([exactHead, ...exactRows])}`);
if (values.write) write();
process.exit(failed ? 1 : 0);

function exact() {
  const file = join(values.folder, "exact.json");
  const driver = values.driver ? ["--driver", values.driver] : [];
  const { status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "--exact", file, ...driver], {
    stdio: "inherit",
  });
  if (status !== 0) throw new Error(`the comparison in f64 ended with ${status}`);
  return JSON.parse(readFileSync(file, "utf8"));
}

/** What it ran on, as `doctor` says it. */
function adapter() {
  const driver = values.driver ? ["--driver", values.driver] : [];
  const out = execFileSync(process.execPath, [join(root, "dist/cli/main.js"), "doctor", "--json", ...driver], {
    encoding: "utf8",
  });
  const { drivers } = JSON.parse(out);
  const one = drivers.find(({ kind }) => kind === values.driver) ?? drivers[0];
  return `${one.adapter.description}, ${cpus().length} × ${cpus()[0].model.trim()}`;
}

/** Puts the tables between the marks of the page. */
function write() {
  const page = "docs/full-size.md";
  const cells = (row) => `| ${row.join(" | ")} |`;
  const asTable = (top, body) => [cells(top), cells(top.map(() => "---")), ...body.map(cells)].join("\n");
  const adapters = [...new Set(Object.values(results).map((r) => r.adapter))].join("; ");
  const commands = Object.keys(works).flatMap((work) => results[work]?.commands ?? []);
  const parts = {
    commands: `\`\`\`\n${commands.join("\n")}\n\`\`\``,
    found: `${adapters}\n\n${asTable(head, rows)}`,
    exact: asTable(exactHead, exactRows),
  };
  let text = readFileSync(page, "utf8");
  for (const [name, part] of Object.entries(parts)) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    text = `${text.slice(0, text.indexOf(begin) + begin.length)}\n${part}\n${text.slice(text.indexOf(end))}`;
  }
  writeFileSync(page, text);
}
