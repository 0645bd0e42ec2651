/** Runs a command of dist/ as a user would; the most memory that its process had, by the high-water mark that the system keeps. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

export async function peak(...args: readonly string[]): Promise<{ code: number | null; bytes: number; said: string }> {
  const { MALLOC_MMAP_THRESHOLD_: _, ...env } = process.env;
  const child = spawn(process.execPath, ["dist/cli/main.js", ...args], { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (text) => {
    said += text;
  });
  let bytes = 0;
  const look = setInterval(() => {
    try {
      const [, kb] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8")) ?? [];
      bytes = Math.max(bytes, 1024 * Number(kb ?? 0));
    } catch {
      // It has ended.
    }
  }, 20);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearInterval(look);
  return { code, bytes, said };
}
