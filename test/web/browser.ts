/** The Chromium that this machine has, without a window. A missing one fails the test: nothing is skipped. */
import { type Browser, chromium } from "playwright-core";
import { findChromium } from "../../src/runtime/node/chromium.js";

export function launchChromium(): Promise<Browser> {
  const found = findChromium();
  if (!found) throw new Error("there is no Chromium on this machine: npx dit-compile doctor --fetch");
  const { executablePath, args, env } = found;
  return chromium.launch({ executablePath, args: [...args], env: { ...(process.env as Record<string, string>), ...env } });
}
