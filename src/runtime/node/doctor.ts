/**
 * What this machine has for dit-compile and, for each thing that is missing, the command that mends it; and an adapter's limits for
 * `--target FILE`.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { cacheFolder } from "./cache.js";
import { findChromium } from "./chromium.js";
import { clearProbeAnswers, type DriverChoice, type DriverKind, searchDrivers, unhide, userIcd } from "./driver.js";
import { fetches } from "./fetch.js";
import type { AdapterReport } from "./probe.js";

/** What `--target FILE` reads. */
export type LimitsProfile = Pick<AdapterReport, "features" | "limits" | "subgroupMinSize" | "subgroupMaxSize">;

export interface Missing {
  readonly what: string;
  readonly why: string;
  readonly mend: string;
}

export interface Findings {
  readonly node: string;
  readonly platform: string;
  readonly dawn: string;
  readonly cache: string;
  readonly drivers: readonly DriverChoice[];
  readonly refused: readonly { readonly where: string; readonly why: string }[];
  readonly chromium: string | null;
  readonly missing: readonly Missing[];
}

export function limitsProfile(adapter: AdapterReport): LimitsProfile {
  const { features, limits, subgroupMinSize, subgroupMaxSize } = adapter;
  const sizes = subgroupMinSize === undefined || subgroupMaxSize === undefined ? {} : { subgroupMinSize, subgroupMaxSize };
  return { features, limits, ...sizes };
}

/** Looks at everything anew, changes nothing but notes in the cache folder. */
export function examine(): Findings {
  clearProbeAnswers();
  const drivers: DriverChoice[] = [];
  const refused: { where: string; why: string }[] = [];
  for (const { candidate, choice, refused: why } of searchDrivers()) {
    if (choice) drivers.push(choice);
    else refused.push({ where: candidate.where, why: why ?? "" });
  }
  const chromium = findChromium();
  return {
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    dawn: dawnVersion(),
    cache: cacheFolder(),
    drivers,
    refused,
    chromium: chromium?.executablePath ?? null,
    missing: whatIsMissing(drivers, chromium !== undefined),
  };
}

function whatIsMissing(drivers: readonly DriverChoice[], chromium: boolean): Missing[] {
  const fetch = "npx dit-compile doctor --fetch";
  const mend = userIcd(process.env) ? unhide : fetch;
  const has = (kind: DriverKind) => drivers.some((driver) => driver.kind === kind);
  const missing: Missing[] = [];
  if (!has("hardware")) {
    const why = "programs run on a CPU driver here: right, but slow";
    missing.push({
      what: "GPU",
      why,
      mend: userIcd(process.env) ? unhide : "on a machine with a GPU, install its Vulkan driver and libvulkan1",
    });
  }
  for (const kind of ["lavapipe", "swiftshader"] as const) {
    if (!has(kind)) missing.push({ what: kind, why: fetches[kind].why, mend });
  }
  if (!chromium) missing.push({ what: "Chromium", why: fetches.chromium.why, mend: fetch });
  return missing;
}

function dawnVersion(): string {
  try {
    const main = createRequire(import.meta.url).resolve("webgpu");
    const { version } = JSON.parse(readFileSync(join(dirname(main), "package.json"), "utf8")) as { version: string };
    return `webgpu ${version}`;
  } catch {
    return "absent: npm ci";
  }
}

const matrixLine = ({ componentType, resultComponentType, M, N, K }: Readonly<Record<string, string | number>>): string =>
  `${componentType} to ${resultComponentType} ${M} × ${N} × ${K}`;

/** The findings as text for a person. */
export function describe(found: Findings): string {
  const row = (name: string, text: string) => `${name.padEnd(12)} ${text}`;
  const lines = [row("Node", `${found.node} ${found.platform}`), row("Dawn", found.dawn), row("cache", found.cache)];
  for (const { kind, adapter, why, where } of found.drivers) {
    const { limits } = adapter;
    const { subgroupMinSize: least = 0, subgroupMaxSize: most = 0 } = adapter;
    const mebi = (bytes = 0) => `${Math.floor(bytes / 2 ** 20)} MiB`;
    lines.push(
      "",
      row(kind, why),
      row("", where),
      row("  subgroups", most === 0 ? "none" : least === most ? `${most}` : `${least} to ${most}`),
      row("  f16", adapter.features.includes("shader-f16") ? "yes" : "no"),
      row("  matrices", (adapter.subgroupMatrixConfigs ?? []).map(matrixLine).join(", ") || "none"),
      row("  buffers", `${mebi(limits.maxBufferSize)}, bindings of ${mebi(limits.maxStorageBufferBindingSize)}`),
      row("", `${limits.maxStorageBuffersPerShaderStage} storage buffers a kernel`),
      row(
        "  workgroups",
        `${limits.maxComputeInvocationsPerWorkgroup} invocations, ${(limits.maxComputeWorkgroupStorageSize ?? 0) / 1024} KiB`,
      ),
      row("  features", adapter.features.join(" ")),
    );
  }
  for (const { where, why } of found.refused) lines.push("", row("refused", `${where}: ${why}`));
  lines.push("", row("Chromium", found.chromium ?? "none"));
  for (const { what, why, mend } of found.missing) lines.push("", row("missing", `${what} (${why})`), row("", mend));
  return lines.join("\n");
}
