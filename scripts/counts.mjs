// `npm run counts`: what the compiled programs take, beside what they may take at most; fails when one takes more.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { counts } from "../bench/counts.mjs";
import { table } from "../bench/statistics.mjs";
import { fromDist, root } from "./dist.mjs";

execFileSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
process.chdir(root);
const { compile } = await fromDist("compile/compile.js");
const { selectVariant } = await fromDist("runtime/device.js");
const rows = await counts(compile, selectVariant);
console.log(table([["what", "", "found", "at most"], ...rows.map((r) => [r.what, "", String(r.found), String(r.limit)])]));
for (const { what, detail } of rows) if (detail?.length > 0) console.log(`\n${what}\n  ${detail.join("\n  ")}`);
process.exit(rows.some((r) => r.found > r.limit) ? 1 : 0);
