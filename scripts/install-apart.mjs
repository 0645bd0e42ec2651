// Packages that are needed for one purpose, installed apart from the project's own: pinned by a folder's lock file, into its node_modules.
// Their install scripts are not run; they fetch what is not wanted here (onnxruntime-node's fetches CUDA from outside the registry).
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Installs what `folder`/package.json pins, unless it is there. Several processes may ask at once: each sees all of it or nothing. */
export function installApart(folder) {
  const json = (...path) => JSON.parse(readFileSync(join(folder, ...path), "utf8"));
  const pinned = Object.entries(json("package.json").dependencies);
  const there = ([name, version]) => {
    const manifest = ["node_modules", name, "package.json"];
    return existsSync(join(folder, ...manifest)) && json(...manifest).version === version;
  };
  if (pinned.every(there)) return;
  console.error(`installing ${pinned.map(([name, version]) => `${name} ${version}`).join(", ")} …`);
  // npm that started us is asked again; else the one on PATH.
  const npm = process.env.npm_execpath?.endsWith(".js") ? [process.execPath, process.env.npm_execpath] : ["npm"];
  const [command, ...before] = npm;
  const draft = mkdtempSync(join(folder, ".install-"));
  const flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
  try {
    for (const name of ["package.json", "package-lock.json"]) copyFileSync(join(folder, name), join(draft, name));
    execFileSync(command, [...before, ...flags], { cwd: draft, stdio: ["ignore", "inherit", "inherit"] });
    // Another process may have been faster: then its is there, and as good.
    if (pinned.every(there)) return;
    rmSync(join(folder, "node_modules"), { recursive: true, force: true });
    renameSync(join(draft, "node_modules"), join(folder, "node_modules"));
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}
