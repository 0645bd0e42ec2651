// Loaded before a program (`node --import`), says at its end how much memory its process had at most: a line in the file DIT_PEAK.
import { appendFileSync, readFileSync } from "node:fs";

process.on("exit", () => appendFileSync(process.env.DIT_PEAK, `${peak()}\n`));

/** Linux keeps it for the program alone; what others say includes what the process was before. */
function peak() {
  try {
    return 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))[1]);
  } catch {
    return 1024 * process.resourceUsage().maxRSS;
  }
}
