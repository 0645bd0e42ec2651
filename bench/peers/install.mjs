// The programs that we are held against, installed apart from the project's own packages: pinned by this folder's lock file, into this
// folder's node_modules. Their install scripts are not run; they fetch what is not measured here.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const folder = import.meta.dirname;
const json = (...path) => JSON.parse(readFileSync(join(folder, ...path), "utf8"));

export function installPeers() {
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
  const flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
  execFileSync(command, [...before, ...flags], { cwd: folder, stdio: ["ignore", "inherit", "inherit"] });
}
