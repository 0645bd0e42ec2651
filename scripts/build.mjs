// Builds dist/: TypeScript to JavaScript, WGSL files copied beside it, and the runtime bundled into the one file that a web bundle ships.
// --if-changed leaves dist/ as it is where the last build was of these very files and every file of it is still what it wrote: `npm ci`
// has built already when `npm test` asks for it.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
process.chdir(root);

const note = ".cache/build.sha256";
if (process.argv.includes("--if-changed") && existsSync(note) && readFileSync(note, "utf8") === state()) {
  console.log("dist/ was built of these sources");
  process.exit(0);
}

rmSync(note, { force: true });
rmSync("dist", { recursive: true, force: true });
execFileSync(process.execPath, [require.resolve("typescript/lib/tsc.js"), "-p", "tsconfig.json"], { stdio: "inherit" });
for (const file of readdirSync("src", { recursive: true })) {
  if (/\.(wgsl|py)$/.test(file)) cpSync(join("src", file), join("dist", file));
}
if (existsSync("src/runtime/web.ts")) {
  const { rolldown } = await import("rolldown");
  // What goes with variants lies beside the runtime in a bundle, and takes what it needs from there.
  for (const [name, external] of [
    ["web", []],
    ["variants", ["./index.js"]],
  ]) {
    const build = await rolldown({ input: `dist/runtime/${name}.js`, platform: "browser", external });
    await build.write({ file: `dist/runtime/${name}.bundle.js`, format: "esm", minify: false });
    await build.close();
  }
}
if (existsSync("dist/cli/main.js")) chmodSync("dist/cli/main.js", 0o755);
mkdirSync(dirname(note), { recursive: true });
writeFileSync(note, state());

/** A hash of all that a build reads and of all that it has written. */
function state() {
  const hash = createHash("sha256").update(process.version);
  const folders = ["src", "dist"].filter(existsSync);
  const within = folders.flatMap((folder) => readdirSync(folder, { recursive: true }).map((file) => join(folder, file)));
  const single = ["package.json", "package-lock.json", "tsconfig.json", "scripts/build.mjs"].filter(existsSync);
  for (const file of [...single, ...within.sort()])
    if (statSync(file).isFile()) hash.update(`\0${file}\0`).update(readFileSync(file));
  return hash.digest("hex");
}
