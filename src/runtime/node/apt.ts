/**
 * Unpacks Debian packages into a folder of our own, without root and without touching the system's package database:
 * apt-get works on lists, sources, a cache and an empty status file that belong to us, and `dpkg-deb -x` unpacks.
 * The mirrors are the machine's own: they are read from its apt sources and written down nowhere.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** One archive of the machine's apt configuration, whichever of the two file formats it was written in. */
export interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Options of the one-line format: `signed-by`, `trusted`, `arch`. */
  readonly options: Readonly<Record<string, string>>;
  /** A key that stands in the file itself (deb822 only). */
  readonly key?: string;
}

/** One-line format: `deb [signed-by=/path] http://mirror/debian bookworm main contrib`. */
export function parseList(text: string): AptSource[] {
  const found: AptSource[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (!match) continue;
    const [, bracket = "", uri = "", suite = "", components = ""] = match;
    const options: Record<string, string> = {};
    for (const option of words(bracket)) {
      const at = option.indexOf("=");
      if (at > 0) options[option.slice(0, at).toLowerCase()] = option.slice(at + 1);
    }
    found.push({ uris: [uri], suites: [suite], components: words(components), options });
  }
  return found;
}

/** deb822 format: stanzas of `Field: value`, continued on lines that start with a blank. */
export function parseSources(text: string): AptSource[] {
  const found: AptSource[] = [];
  for (const stanza of text.replace(/^#.*\n?/gm, "").split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    let last = "";
    for (const line of stanza.split("\n")) {
      const field = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
      if (field) {
        last = field[1]!.toLowerCase();
        fields.set(last, field[2]!);
      } else if (last && /^\s+\S/.test(line)) {
        fields.set(last, `${fields.get(last)}\n${line.trim()}`);
      }
    }
    if (!words(fields.get("types")).includes("deb") || /^(no|false|0)$/i.test(fields.get("enabled") ?? "")) continue;
    const options: Record<string, string> = {};
    const signedBy = (fields.get("signed-by") ?? "").trim();
    const inline = signedBy.includes("BEGIN PGP");
    if (signedBy && !inline) options["signed-by"] = words(signedBy).join(",");
    if (fields.has("trusted")) options.trusted = fields.get("trusted")!.trim();
    if (fields.has("architectures")) options.arch = words(fields.get("architectures")).join(",");
    const source = {
      uris: words(fields.get("uris")),
      suites: words(fields.get("suites")),
      components: words(fields.get("components")),
    };
    // A lone dot stands for an empty line inside a key.
    found.push(inline ? { ...source, options, key: signedBy.replace(/^\.$/gm, "") } : { ...source, options });
  }
  return found;
}

/** All archives that this machine's apt knows. */
export function machineSources(folder = "/etc/apt"): AptSource[] {
  const parts = join(folder, "sources.list.d");
  const files = [join(folder, "sources.list"), ...(existsSync(parts) ? readdirSync(parts).map((name) => join(parts, name)) : [])];
  return files.flatMap((file) => {
    if (!existsSync(file)) return [];
    const text = readFileSync(file, "utf8");
    return file.endsWith(".sources") ? parseSources(text) : file.endsWith(".list") ? parseList(text) : [];
  });
}

/**
 * The lines of our own sources.list: the distribution's archives as the machine has them, and, on the mirror that carries the
 * distribution itself, `<codename>-backports`. Foreign archives are left out: an unreachable one would fail the update.
 * `keyFile` stores a key that stood inside a stanza and returns its path.
 */
export function sourceLines(
  sources: readonly AptSource[],
  codename: string,
  backports: boolean,
  keyFile: (key: string) => string,
): string[] {
  const lines = new Set<string>();
  for (const source of sources) {
    const options = source.key === undefined ? source.options : { ...source.options, "signed-by": keyFile(source.key) };
    const bracket = Object.entries(options).map(([name, value]) => `${name}=${value}`);
    const start = `deb ${bracket.length > 0 ? `[${bracket.join(" ")}] ` : ""}`;
    const own = source.suites.filter((suite) => suite === codename || suite.startsWith(`${codename}-`));
    if (backports && own.includes(codename)) own.push(`${codename}-backports`);
    for (const uri of source.uris.filter((uri) => !uri.startsWith("cdrom:"))) {
      for (const suite of own) lines.add(`${start}${uri} ${suite} ${source.components.join(" ")}`);
    }
  }
  return [...lines];
}

/** The codename in /etc/os-release (`bookworm`), or undefined on a system without one. */
export function codename(file = "/etc/os-release"): string | undefined {
  if (!existsSync(file)) return undefined;
  return /^VERSION_CODENAME=["']?([a-z]+)/m.exec(readFileSync(file, "utf8"))?.[1];
}

export interface Unpacked {
  readonly packages: number;
  readonly bytes: number;
  /** Package file names, for the record that is kept beside what was unpacked. */
  readonly names: readonly string[];
}

/** These belong to the running system: a second libc beside the process's own one ends in crashes. */
const systemOwn = /^(libc6|libgcc-s1|gcc-\d+-base)_/;

/**
 * Downloads `packages` with everything they depend on and unpacks them into `root`. `work` is a folder for apt's own files.
 * Throws an Error whose message is one sentence when the machine cannot do it.
 */
export function unpackDebian(packages: readonly string[], root: string, work: string): Unpacked {
  const name = codename();
  if (!which("apt-get") || !which("dpkg-deb") || name === undefined) {
    throw new Error("this is not a Debian system (apt-get, dpkg-deb and a codename in /etc/os-release are needed)");
  }
  const at = (part: string) => join(work, part);
  for (const folder of ["lists/partial", "cache/archives/partial"]) mkdirSync(at(folder), { recursive: true });
  writeFileSync(at("status"), "");
  const settings = {
    "Dir::State::lists": at("lists"),
    "Dir::Etc::sourcelist": at("sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::Cache": at("cache"),
    "Dir::State::status": at("status"),
    "Debug::NoLocking": "1",
    // Folders of our own are closed to apt's download user, and a download needs no change of user.
    "APT::Sandbox::User": "root",
    // Images made for containers throw packages away once fetched; here they are the point.
    "Binary::apt-get::APT::Keep-Downloaded-Packages": "true",
    "Acquire::Languages": "none",
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  const writeSources = (backports: boolean) => {
    let keys = 0;
    const lines = sourceLines(machineSources(), name, backports, (key) => {
      const file = at(`key${keys++}.asc`);
      writeFileSync(file, `${key}\n`);
      return file;
    });
    if (lines.length === 0) throw new Error(`the machine's apt sources name no archive of ${name}`);
    writeFileSync(at("sources.list"), `${lines.join("\n")}\n`);
  };
  // A distribution without backports (testing, unstable, some mirrors) has recent packages in its own archive.
  let suite = `${name}-backports`;
  writeSources(true);
  const update = ["apt-get", ...options, "-q", "-o", "APT::Update::Error-Mode=any", "update"];
  if (run(update).failed) {
    suite = name;
    writeSources(false);
    const again = run(update);
    if (again.failed) throw new Error(`apt-get update failed: ${again.failed}`);
  }
  const install = ["--download-only", "--no-install-recommends", "-y", "-q", "-t", suite, "install", ...packages];
  const download = run(["apt-get", ...options, ...install]);
  if (download.failed) throw new Error(`apt-get could not download ${packages.join(" ")}: ${download.failed}`);

  const archives = at("cache/archives");
  const files = readdirSync(archives).filter((file) => file.endsWith(".deb") && !systemOwn.test(file));
  let bytes = 0;
  mkdirSync(root, { recursive: true });
  for (const file of files) {
    bytes += statSync(join(archives, file)).size;
    const unpack = run(["dpkg-deb", "-x", join(archives, file), root]);
    if (unpack.failed) throw new Error(`dpkg-deb could not unpack ${file}: ${unpack.failed}`);
  }
  return { packages: files.length, bytes, names: files.sort() };
}

/** Runs a program quietly; `failed` is the last line it wrote that says anything, when it failed. */
export function run(command: readonly string[], cwd?: string): { readonly failed?: string; readonly stdout: string } {
  const [program, ...args] = command;
  const env = { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" };
  const result = spawnSync(program!, args, { encoding: "utf8", maxBuffer: 1 << 26, env, ...(cwd === undefined ? {} : { cwd }) });
  if (result.status === 0) return { stdout: result.stdout };
  const said = `${result.stdout ?? ""}\n${result.stderr ?? ""}`.trim().split("\n");
  const why = said.filter((line) => /^(E:|npm error|error)/i.test(line))[0] ?? said.at(-1);
  return {
    failed: result.error?.message ?? (why || `it ended with ${result.status ?? result.signal}`),
    stdout: result.stdout ?? "",
  };
}

/** Throws what a program said that failed. */
export function must(result: { readonly failed?: string }): void {
  if (result.failed) throw new Error(result.failed);
}

/** A program's file on PATH. */
export function which(program: string): string | undefined {
  for (const folder of (process.env.PATH ?? "").split(":")) {
    const file = join(folder, program);
    if (folder && existsSync(file)) return file;
  }
  return undefined;
}

const words = (text: string | undefined): string[] => (text ?? "").split(/\s+/).filter(Boolean);
