/**
 * The cache folder: what was fetched once (drivers, Chromium) and what was learned about this machine (probe answers).
 * Everything in it can be deleted at any time; nothing that a compilation reads lies here.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";

/** Variables of a process: what `process.env` and the options of a child process hold. */
export type Env = Readonly<Record<string, string | undefined>>;

export function cacheFolder(env: Env = process.env): string {
  if (env.DIT_COMPILE_CACHE) return env.DIT_COMPILE_CACHE;
  if (env.XDG_CACHE_HOME) return join(env.XDG_CACHE_HOME, "dit-compile");
  return join(homedir(), ".cache", "dit-compile");
}

/** Reads JSON, or undefined where there is none or it is broken: a cache is never worth an error. */
export function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** Writes JSON so that another process sees the old file or the new one, never half of one. */
export function writeJson(file: string, value: unknown): void {
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(draft, file);
}

/**
 * Fills a folder once. `fill` works in a temporary sibling that is renamed when it is complete, so that a folder that
 * exists is whole; when two processes race, the first one's folder stays and the second one's is thrown away.
 */
export function fillOnce(folder: string, isWhole: (folder: string) => boolean, fill: (draft: string) => void): void {
  if (isWhole(folder)) return;
  mkdirSync(dirname(folder), { recursive: true });
  const draft = mkdtempSync(join(dirname(folder), `.${basename(folder)}-`));
  try {
    fill(draft);
    // A temporary folder is closed to others; a cache may be shared.
    chmodSync(draft, 0o755);
    if (isWhole(folder)) return;
    rmSync(folder, { recursive: true, force: true });
    try {
      renameSync(draft, folder);
    } catch (error) {
      if (!isWhole(folder)) throw error;
    }
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}
