// Builds dist/: TypeScript to JavaScript, WGSL files copied beside it, and the runtime bundled into the one file that a web bundle ships.
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
process.chdir(root);

rmSync("dist", { recursive: true, force: true });
execFileSync(process.execPath, [require.resolve("typescript/lib/tsc.js"), "-p", "tsconfig.json"], { stdio: "inherit" });
for (const file of readdirSync("src", { recursive: true })) {
  if (/\.(wgsl|py)$/.test(file)) cpSync(join("src", file), join("dist", file));
}
if (existsSync("src/runtime/web.ts")) {
  const { rolldown } = await import("rolldown");
  const build = await rolldown({ input: "dist/runtime/web.js", platform: "browser" });
  await build.write({ file: "dist/runtime/web.bundle.js", format: "esm", minify: false });
  await build.close();
}
if (existsSync("dist/cli/main.js")) chmodSync("dist/cli/main.js", 0o755);
