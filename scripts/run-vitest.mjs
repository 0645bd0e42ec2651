// Runs vitest and gives back what its tests really came to, by project, also when a worker took its results with it (test-reporter.mjs).
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./dist.mjs";

/** `args` go to `vitest run`; `env` is added to this process's. Gives { status, signal, projects, errors }. */
export function runVitest(args, env = {}) {
  const folder = mkdtempSync(join(tmpdir(), "dit-compile-test-"));
  const file = join(folder, "counts.json");
  const reporters = ["--reporter=default", "--reporter=./scripts/test-reporter.mjs"];
  const { status, signal } = spawnSync(process.execPath, ["node_modules/vitest/vitest.mjs", "run", ...args, ...reporters], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env, DIT_TEST_COUNTS: file },
  });
  const counts = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { projects: {}, errors: [] };
  rmSync(folder, { recursive: true, force: true });
  return { status, signal, ...counts };
}
