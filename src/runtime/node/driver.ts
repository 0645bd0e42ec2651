/**
 * Finds a Vulkan driver that Dawn accepts. Every GPU command comes through here; nothing is ever downloaded here.
 *
 * Candidates stand in one fixed order: what the system gives (a GPU), an installed lavapipe, then the lavapipe and the
 * SwiftShader that `doctor --fetch` put into the cache folder, then the SwiftShader that Chromium carries. A candidate is a set
 * of variables; whether Dawn accepts it, and what it is, a short child process says. Its answers are kept on disk for as long
 * as the driver's files stay as they are, so a command that starts twice asks once. The variables must be there when a process
 * starts (the dynamic linker reads LD_LIBRARY_PATH once), so `ensureDriver` starts the process again where they are missing.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { basename, dirname, isAbsolute, join } from "node:path";
import { pathToFileURL } from "node:url";
import { DitError, fail } from "../../diagnostics/diagnostic.js";
import { cacheFolder, type Env, readJson, writeJson } from "./cache.js";
import { findChromium } from "./chromium.js";
import { type AdapterReport, dawnSettings, probe } from "./probe.js";
import { libraryFolders, libraryPath, unpacked } from "./unpacked.js";

export type DriverKind = "hardware" | "lavapipe" | "swiftshader";

/** Lanes of a lavapipe subgroup: its vectors of 128, 256 or 512 bits. */
export type SubgroupWidth = 4 | 8 | 16;

export interface DriverChoice {
  readonly kind: DriverKind;
  /** Variables that a process needs from its start. */
  readonly env: Readonly<Record<string, string>>;
  /** One sentence for a person. */
  readonly why: string;
  /** The file or place the driver comes from. */
  readonly where: string;
  readonly adapter: AdapterReport;
}

/** A driver that may work. */
export interface Candidate {
  readonly env: Readonly<Record<string, string>>;
  readonly where: string;
  /** How it came to be here, in words: the `why` of a choice. */
  readonly origin: string;
  /** A change in one of these files makes an old answer worthless. */
  readonly files: readonly string[];
}

export type ProbeAnswer = { readonly adapter: AdapterReport } | { readonly refused: string };
export type Prober = (candidate: Candidate) => ProbeAnswer;

export interface SearchOptions {
  /** Only lavapipe has a choice here; other drivers take no notice. */
  readonly width?: SubgroupWidth;
  /** For tests: stand-ins for the machine. */
  readonly candidates?: readonly Candidate[];
  readonly prober?: Prober;
}

/** The name of the variable that a process started by `ensureDriver` carries: the kind of its driver. */
export const driverVariable = "DIT_COMPILE_DRIVER";

/**
 * lavapipe compiles on several threads, and for each of them glibc would keep what the compiler no longer needs: about 100 MB beside a
 * training step. In one heap the next kernel takes it.
 */
const lavapipeMemory = { MALLOC_ARENA_MAX: "1" };

/** Every candidate with what Dawn says to it, in order of preference; lazy, because asking takes a moment. */
export function* searchDrivers(
  options: SearchOptions = {},
): Generator<{ candidate: Candidate; choice?: DriverChoice; refused?: string }> {
  const ask = options.prober ?? probeCandidate;
  for (const candidate of options.candidates ?? driverCandidates()) {
    const answer = ask(candidate);
    if ("refused" in answer) {
      yield { candidate, refused: answer.refused };
      continue;
    }
    const { adapter } = answer;
    const kind = kindOf(adapter);
    const width = options.width ? { LP_NATIVE_VECTOR_WIDTH: String(options.width * 32) } : {};
    const own = kind === "lavapipe" ? { ...lavapipeMemory, ...width } : {};
    const why = `${candidate.origin}: ${adapter.description || adapter.device || adapter.vendor}`;
    yield { candidate, choice: { kind, env: { ...candidate.env, ...own }, why, where: candidate.where, adapter } };
  }
}

/** All drivers on this machine that Dawn accepts, best first. */
export function findDrivers(options: SearchOptions = {}): DriverChoice[] {
  return [...searchDrivers(options)].flatMap(({ choice }) => (choice ? [choice] : []));
}

/** The best driver, or the best of the kind that is asked for. Throws when there is none: a CPU never stands in silently. */
export function chooseDriver(prefer?: DriverKind, options: SearchOptions = {}): DriverChoice {
  const notes: string[] = [];
  for (const { candidate, choice, refused } of searchDrivers({ candidates: driverCandidates(process.env, prefer), ...options })) {
    if (choice && (prefer === undefined || choice.kind === prefer)) return choice;
    notes.push(`${candidate.where}: ${choice ? `is ${choice.kind}` : refused}`);
  }
  const wanted =
    prefer === undefined ? "no GPU and no software driver that Dawn accepts" : `no ${prefer} driver that Dawn accepts`;
  const help =
    prefer === "hardware" ? "install the GPU's Vulkan driver, or choose another driver" : "npx dit-compile doctor --fetch";
  const hidden = prefer === undefined && userIcd(process.env) !== undefined;
  return fail("DIT5001", `there is ${wanted} on this machine`, { notes, help: hidden ? unhide : help });
}

/**
 * For the start of a command that uses the GPU: returns in a process that has its driver's variables. Elsewhere it starts the
 * command again with them, hands signals on, and ends with the same exit code; then it does not return.
 */
export async function ensureDriver(prefer?: DriverKind, options: SearchOptions = {}): Promise<DriverKind> {
  const present = process.env[driverVariable];
  const width = options.width === undefined ? undefined : String(options.width * 32);
  const fits = present !== undefined && (prefer === undefined || prefer === present);
  if (fits && (width === undefined || present !== "lavapipe" || process.env.LP_NATIVE_VECTOR_WIDTH === width))
    return present as DriverKind;
  const choice = chooseDriver(prefer, options);
  if (Object.entries(choice.env).every(([name, value]) => process.env[name] === value)) return choice.kind;
  const env = driverEnv(choice);
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  // A terminal sends an interrupt to both of us; a second one from here would look like impatience.
  const terminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  process.on("SIGINT", () => terminal || child.kill("SIGINT"));
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  return new Promise((_, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      const asked = signal === "SIGINT" || signal === "SIGTERM" || signal === "SIGHUP";
      if (signal && !asked) reject(died(signal, choice));
      else process.exit(signal ? 1 : (code ?? 1));
    });
  });
}

/** A process does not end by such a signal by itself: what ran in it was native code, the driver's. Nothing of it is left to ask. */
function died(signal: NodeJS.Signals, { why, where }: DriverChoice): DitError {
  const killed = "the system kills a process that takes too much memory: a smaller --batch needs less";
  const crashed = "try it once more, then on another driver (--driver); dit-compile doctor lists those of this machine";
  return new DitError({
    code: "DIT5003",
    message: `the driver died (${signal}) before the command had ended`,
    notes: [`the driver is ${why}`, where],
    help: signal === "SIGKILL" ? killed : crashed,
  });
}

/** The variables of a choice, with the mark that keeps a process from looking for a driver again. */
export const driverEnv = (choice: DriverChoice): Record<string, string> => ({ ...choice.env, [driverVariable]: choice.kind });

/** What an adapter is: the two CPU drivers say so in their names. */
export function kindOf(adapter: Pick<AdapterReport, "architecture" | "description" | "device">): DriverKind {
  const text = `${adapter.architecture} ${adapter.description} ${adapter.device}`.toLowerCase();
  return text.includes("llvmpipe") ? "lavapipe" : text.includes("swiftshader") ? "swiftshader" : "hardware";
}

/** What to do when the user's own choice does not work. */
export const unhide = "unset VK_ICD_FILENAMES and VK_DRIVER_FILES, which hide every other driver";

/** The user's own choice of a driver, as opposed to the one that we set for a child. */
export function userIcd(env: Env): string | undefined {
  return env[driverVariable] ? undefined : env.VK_ICD_FILENAMES || env.VK_DRIVER_FILES || undefined;
}

/**
 * Where to look, best first. The user's VK_ICD_FILENAMES hides everything else, unless a kind was asked for by name: that is the
 * more particular wish, and is looked for further on.
 */
export function driverCandidates(env: Env = process.env, prefer?: DriverKind): Candidate[] {
  const chosen = userIcd(env);
  const list: Candidate[] = [];
  if (chosen) {
    list.push({ env: {}, where: chosen, origin: "set by VK_ICD_FILENAMES", files: chosen.split(":") });
    if (prefer === undefined) return list;
  }
  const installed = installedIcds();
  // Linux without a loader or a driver file has nothing to ask for, and asking would only cost a process.
  if (!chosen && (process.platform !== "linux" || installed.length > 0)) {
    list.push({
      env: {},
      where: "the system's driver",
      origin: "what the system offers first",
      files: [...installed, ...devices()],
    });
  }
  for (const icd of installed.filter((file) => basename(file).startsWith("lvp_"))) {
    list.push({ env: select(icd), where: icd, origin: "installed lavapipe", files: [icd, ...libraryOf(icd)] });
  }
  const lavapipe = unpacked.lavapipe();
  if (existsSync(lavapipe.proof)) {
    list.push(withLibraries(lavapipe.proof, libraryFolders(lavapipe.folder), "lavapipe from the cache folder"));
  }
  const swiftshader = unpacked.swiftshader();
  if (existsSync(swiftshader.proof)) {
    list.push(withLibraries(swiftshader.proof, [swiftshader.folder], "SwiftShader from the cache folder"));
  }
  const chromium = findChromium();
  const icd = chromium?.swiftshader && join(dirname(chromium.swiftshader), "vk_swiftshader_icd.json");
  if (chromium?.swiftshader && icd && existsSync(icd)) {
    const folders = [
      dirname(chromium.swiftshader),
      ...(chromium.where === "cache" ? libraryFolders(unpacked.chromium().folder) : []),
    ];
    list.push(withLibraries(icd, folders, "SwiftShader of Chromium"));
  }
  return list;
}

/** Makes the Vulkan loader use one driver; a newer name of the variable, where someone has set it, would win over the old one. */
const select = (icd: string): Record<string, string> => ({
  VK_ICD_FILENAMES: icd,
  ...(process.env.VK_DRIVER_FILES ? { VK_DRIVER_FILES: icd } : {}),
});

function withLibraries(icd: string, folders: readonly string[], origin: string): Candidate {
  const env = { ...select(icd), LD_LIBRARY_PATH: libraryPath(folders) };
  return { env, where: icd, origin, files: [icd, ...libraryOf(icd)] };
}

/** The driver files where the Vulkan loader looks for them. */
function installedIcds(): string[] {
  const data = [join(homedir(), ".local/share"), "/usr/local/share", "/usr/share"];
  const folders = ["/etc", "/usr/local/etc", ...data].map((base) => join(base, "vulkan/icd.d"));
  return folders.flatMap((folder) => {
    if (!existsSync(folder)) return [];
    const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
    return names.sort().map((name) => join(folder, name));
  });
}

/** Device files of GPUs: one that appears makes an old "nothing there" worthless. */
const devices = (): string[] =>
  ["/dev/dri", "/dev"].flatMap((folder) =>
    existsSync(folder)
      ? readdirSync(folder)
          .filter((name) => /^(card|renderD|nvidia)\d+$/.test(name))
          .map((name) => join(folder, name))
      : [],
  );

/** The library that a driver file names, where it names a place. */
function libraryOf(icd: string): string[] {
  try {
    const { ICD } = JSON.parse(readFileSync(icd, "utf8")) as { ICD: { library_path: string } };
    if (isAbsolute(ICD.library_path)) return [ICD.library_path];
    return ICD.library_path.includes("/") ? [join(dirname(icd), ICD.library_path)] : [];
  } catch {
    return [];
  }
}

const probeFolder = (): string => join(cacheFolder(), "probes");

/** Forgets what was learned about drivers: after a fetch, and before a doctor looks. */
export const clearProbeAnswers = (): void => rmSync(probeFolder(), { recursive: true, force: true });

/** Asks Dawn, or the note of the last time that it was asked about the very same files. */
export function probeCandidate(candidate: Candidate): ProbeAnswer {
  const dawn = createRequire(import.meta.url).resolve("webgpu");
  const stamp = (file: string) => (existsSync(file) ? `${file} ${statSync(file).mtimeMs} ${statSync(file).size}` : file);
  const { LD_LIBRARY_PATH, LP_NATIVE_VECTOR_WIDTH, VK_LOADER_DRIVERS_SELECT } = process.env;
  const asked = JSON.stringify([
    ...[
      process.platform,
      process.arch,
      process.version,
      candidate.env,
      LD_LIBRARY_PATH,
      LP_NATIVE_VECTOR_WIDTH,
      VK_LOADER_DRIVERS_SELECT,
      dawnSettings(process.env),
    ],
    ...[dawn, ...candidate.files].map(stamp),
  ]);
  const file = join(probeFolder(), `${createHash("sha256").update(asked).digest("hex").slice(0, 16)}.json`);
  const known = readJson(file) as { asked: string; answer: ProbeAnswer } | undefined;
  if (known?.asked === asked) return known.answer;
  const { answer, firm } = runProbe(dawn, candidate);
  try {
    if (firm) writeJson(file, { asked, answer });
  } catch {
    // A cache folder that cannot be written costs time and nothing else.
  }
  return answer;
}

/** `firm` is false for what may be different the next time: a timeout or a crash. */
function runProbe(dawn: string, candidate: Candidate): { answer: ProbeAnswer; firm: boolean } {
  const script = `import { create } from ${JSON.stringify(pathToFileURL(dawn).href)};\nawait (${probe.toString()})(create, ${JSON.stringify(dawnSettings(process.env))});\nprocess.exit(0);`;
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  const child = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
    env: { ...inherited, ...candidate.env },
    timeout: 60_000,
  });
  const last = child.stdout?.trim().split("\n").at(-1) ?? "";
  if (child.status === 0 && last.startsWith("{")) return { answer: { adapter: JSON.parse(last) as AdapterReport }, firm: true };
  if (child.status === 0) return { answer: { refused: "Dawn finds no adapter in it" }, firm: true };
  if (child.signal) return { answer: { refused: `it died when Dawn asked for an adapter (${child.signal})` }, firm: false };
  const said = child.error?.message ?? child.stderr?.trim().split("\n").at(-1) ?? "";
  return { answer: { refused: `Dawn could not be asked: ${said}` }, firm: false };
}
