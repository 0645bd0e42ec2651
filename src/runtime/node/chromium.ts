/**
 * Finds a Chromium for headless runs of the web runtime: the system's, else the one in the cache folder.
 * Its GPU process brings its own SwiftShader; lavapipe is on Chromium's blocklist and no flag of ours lifts that.
 */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { which } from "./apt.js";
import { besideChromium, libraryFolders, libraryPath, unpacked } from "./unpacked.js";

export interface Chromium {
  readonly executablePath: string;
  /** Variables that the browser needs beyond the present ones. */
  readonly env: Readonly<Record<string, string>>;
  /** Flags for a headless run in which a page from http://localhost finds a WebGPU adapter. */
  readonly args: readonly string[];
  /** The browser's own SwiftShader library, which Dawn in Node can use as well: then both run the same driver. */
  readonly swiftshader?: string;
  readonly where: "system" | "cache";
}

/** Tried with Debian's Chromium: the first two give navigator.gpu an adapter without a GPU, the others keep it quiet. */
export const headlessArgs = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--headless",
  "--no-sandbox",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-dev-shm-usage",
  "--disable-sync",
  "--no-first-run",
  "--no-default-browser-check",
] as const;

export function findChromium(): Chromium | undefined {
  for (const name of ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) {
    const executablePath = which(name);
    if (executablePath === undefined || isHull(executablePath)) continue;
    return { executablePath, env: {}, args: headlessArgs, where: "system", ...ownSwiftShader(executablePath) };
  }
  const { folder, proof } = unpacked.chromium();
  if (!existsSync(proof)) return undefined;
  const env: Record<string, string> = { LD_LIBRARY_PATH: libraryPath(libraryFolders(folder)) };
  // Fonts come with the packages; without a configuration of its own the text system looks in /etc/fonts and may find nothing.
  if (existsSync(join(folder, "etc/fonts"))) {
    env.FONTCONFIG_SYSROOT = folder;
    env.FONTCONFIG_PATH = "/etc/fonts";
  }
  return { executablePath: proof, env, args: headlessArgs, where: "cache", ...ownSwiftShader(proof) };
}

/** On Ubuntu `chromium-browser` is a script that asks for a snap. */
function isHull(executable: string): boolean {
  const start = readFileSync(executable).subarray(0, 4096).toString("latin1");
  return start.startsWith("#!") && start.includes("snap");
}

function ownSwiftShader(executable: string): { swiftshader?: string } {
  const homes = [realpathSync(executable), "/usr/lib/chromium/chromium", "/usr/lib/chromium-browser/chromium-browser"];
  for (const home of homes) {
    const found = existsSync(home) ? besideChromium(home) : undefined;
    if (found !== undefined) return { swiftshader: found };
  }
  return {};
}
