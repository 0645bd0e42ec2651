// Builds dist/ where it is missing and imports a module of it: what every thin script here does first.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** `path` is relative to dist/. */
export async function fromDist(path) {
  const file = join(root, "dist", path);
  if (!existsSync(file)) {
    if (!existsSync(join(root, "node_modules"))) throw new Error("packages are not installed: npm ci");
    execFileSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
  }
  return import(pathToFileURL(file).href);
}
