/**
 * The only downloads of dit-compile: software drivers for machines without a GPU, and a Chromium for the page's tests.
 * Each is unpacked into the cache folder, needs no root, is done once, and is whole or absent. Where one cannot be had,
 * the error says in a line what is missing and which command mends it.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { fail } from "../../diagnostics/diagnostic.js";
import { must, run, type Unpacked, unpackDebian } from "./apt.js";
import { fillOnce, readJson, writeJson } from "./cache.js";
import { findChromium } from "./chromium.js";
import { clearProbeAnswers } from "./driver.js";
import { unpackNpm } from "./npm.js";
import { findUnder, unpacked } from "./unpacked.js";

export type Log = (line: string) => void;

/** SwiftShader as Chromium is built with it; pinned, because another build may round differently. */
const swiftshaderPackage = "@sparticuz/chromium@153.0.0";

/** What can be fetched, and why anyone would. */
export const fetches = {
  lavapipe: { why: "Mesa's CPU driver, the first of the two adapters that the tests run on", fetch: fetchLavapipe },
  swiftshader: { why: "Google's CPU driver, the second of the two adapters that the tests run on", fetch: fetchSwiftShader },
  chromium: { why: "the browser that the web runtime is tested in", fetch: fetchChromium },
} as const;

export type Fetchable = keyof typeof fetches;

/** Mesa's lavapipe from the distribution's backports (stock Mesa of Debian 12 is too old for Dawn). */
export function fetchLavapipe(log: Log = console.error): void {
  const target = unpacked.lavapipe();
  step("lavapipe", target.folder, log, "apt-get install -t <codename>-backports mesa-vulkan-drivers libvulkan1", (draft) => {
    const got = debian(["mesa-vulkan-drivers", "libvulkan1"], draft);
    const library = findUnder(draft, "libvulkan_lvp.so");
    if (library === undefined) throw new Error("mesa-vulkan-drivers brought no libvulkan_lvp.so");
    // The loader wants an absolute path; this one is right once the draft has its final name.
    const icd = {
      file_format_version: "1.0.0",
      ICD: { library_path: library.replace(draft, target.folder), api_version: "1.3.0" },
    };
    writeJson(join(draft, "icd.json"), icd);
    return got;
  });
}

/** SwiftShader with a Vulkan loader of its own, from an npm package that carries Chromium for serverless machines. */
export function fetchSwiftShader(log: Log = console.error): void {
  const target = unpacked.swiftshader();
  step("SwiftShader", target.folder, log, "apt-get install chromium, which brings one", (draft) => {
    if (process.platform !== "linux" || process.arch !== "x64") throw new Error("the package has a build for linux-x64 only");
    const work = join(draft, "work");
    mkdirSync(work);
    const inner = "package/bin/swiftshader.tar.br";
    unpackNpm(swiftshaderPackage, [inner, "package/LICENSE"], work);
    const compressed = readFileSync(join(work, inner));
    writeFileSync(join(work, "swiftshader.tar"), brotliDecompressSync(compressed));
    must(run(["tar", "-xf", join(work, "swiftshader.tar")], draft));
    copyFileSync(join(work, "package/LICENSE"), join(draft, "LICENSE"));
    rmSync(work, { recursive: true });
    const icd = {
      file_format_version: "1.0.0",
      ICD: { library_path: join(target.folder, "libvk_swiftshader.so"), api_version: "1.0.5" },
    };
    writeJson(join(draft, "icd.json"), icd);
    return { packages: 1, bytes: compressed.length, names: [swiftshaderPackage] };
  });
}

/** Chromium with its libraries, unless the system has one. */
export function fetchChromium(log: Log = console.error): void {
  if (findChromium() !== undefined) return;
  const target = unpacked.chromium();
  step("Chromium", target.folder, log, "apt-get install chromium", (draft) => {
    const got = debian(["chromium", "fonts-dejavu-core"], draft);
    // On Ubuntu the package of this name is an empty hull around a snap.
    if (!existsSync(join(draft, "usr/lib/chromium/chromium")))
      throw new Error("this distribution's chromium package holds no browser");
    return got;
  });
}

/** Fetches what is missing of `wanted`; goes on after a failure and returns the failures' messages. */
export function fetchMissing(wanted: readonly Fetchable[], log: Log = console.error): string[] {
  const failures: string[] = [];
  for (const name of wanted) {
    try {
      fetches[name].fetch(log);
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  return failures;
}

function step(what: string, folder: string, log: Log, byHand: string, fill: (draft: string) => Unpacked): void {
  const isWhole = (at: string) => readJson(join(at, "fetched.json")) !== undefined;
  if (isWhole(folder)) return;
  const started = Date.now();
  log(`fetching ${what} into ${folder} …`);
  try {
    fillOnce(folder, isWhole, (draft) => {
      const got = fill(draft);
      writeJson(join(draft, "fetched.json"), got.names);
      const seconds = ((Date.now() - started) / 1000).toFixed(0);
      log(`  ${got.packages} package${got.packages === 1 ? "" : "s"}, ${(got.bytes / 2 ** 20).toFixed(0)} MiB, ${seconds} s`);
    });
  } catch (error) {
    fail("DIT5002", `${what} could not be fetched: ${error instanceof Error ? error.message : String(error)}`, {
      help: `install it by hand (${byHand}), then look again: npx dit-compile doctor`,
    });
  }
  clearProbeAnswers();
}

/** Unpacks Debian packages into `draft`; apt's own files lie beside it and are gone afterwards. */
function debian(packages: readonly string[], draft: string): Unpacked {
  const work = join(dirname(draft), `.apt-${process.pid}`);
  try {
    return unpackDebian(packages, draft, work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
