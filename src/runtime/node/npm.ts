/** Packages of npm as plain files: fetched and unpacked, never installed. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { must, run } from "./apt.js";

/**
 * Fetches one package, pinned as `name@version`, and unpacks some of its files ("package/…") into `folder`. Throws an Error whose message
 * is one sentence.
 */
export function unpackNpm(spec: string, files: readonly string[], folder: string): void {
  const work = mkdtempSync(join(folder, ".npm-"));
  try {
    // npm that started us (as in `npm test`) is asked again; else the one on PATH.
    const npm = process.env.npm_execpath?.endsWith(".js") ? [process.execPath, process.env.npm_execpath] : ["npm"];
    must(run([...npm, "pack", spec, "--pack-destination", work, "--loglevel", "error"], work));
    const archive = readdirSync(work).find((name) => name.endsWith(".tgz"));
    if (archive === undefined) throw new Error("npm pack left no archive");
    must(run(["tar", "-xzf", join(work, archive), "-C", folder, ...files]));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
