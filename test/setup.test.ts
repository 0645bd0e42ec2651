// The ground that GPU commands stand on, without a GPU and without a network: apt's files, the order of drivers, and Dawn's polling.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DitError } from "../src/diagnostics/diagnostic.js";
import { machineSources, parseList, parseSources, sourceLines } from "../src/runtime/node/apt.js";
import { fillOnce, readJson, writeJson } from "../src/runtime/node/cache.js";
import { limitsProfile } from "../src/runtime/node/doctor.js";
import {
  type Candidate,
  chooseDriver,
  driverCandidates,
  driverEnv,
  findDrivers,
  kindOf,
  type Prober,
} from "../src/runtime/node/driver.js";
import { isDawnCallback, pausing } from "../src/runtime/node/polling.js";
import type { AdapterReport } from "../src/runtime/node/probe.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dit-compile-setup-"));
  // A developer's own choice of a driver is no part of these tests.
  for (const name of ["VK_ICD_FILENAMES", "VK_DRIVER_FILES"]) vi.stubEnv(name, "");
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const noKey = (): string => {
  throw new Error("there is no key in these sources");
};

describe("apt sources", () => {
  test("one-line format, with options, comments and source packages", () => {
    const text = `# a comment
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # trailing
deb-src http://mirror.example/debian bookworm main
#deb http://off.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main`;
    expect(parseList(text)).toEqual([
      {
        uris: ["http://mirror.example/debian"],
        suites: ["bookworm"],
        components: ["main", "contrib"],
        options: { arch: "amd64", "signed-by": "/k.gpg" },
      },
      { uris: ["http://mirror.example/debian-security"], suites: ["bookworm-security"], components: ["main"], options: {} },
    ]);
  });

  test("deb822 format, with folded fields, a key inside, and a stanza that is off", () => {
    const text = `Types: deb deb-src
# a comment inside a stanza
URIs: http://mirror.example/debian
Suites: bookworm
  bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc=
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://other.example/x
Suites: stable
Components: main
Signed-By: /usr/share/keyrings/x.gpg`;
    const [first, second, ...rest] = parseSources(text);
    expect(rest).toEqual([]);
    expect(first).toMatchObject({ suites: ["bookworm", "bookworm-updates"], options: {} });
    expect(first?.key).toBe("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc=\n-----END PGP PUBLIC KEY BLOCK-----");
    expect(second).toMatchObject({ uris: ["http://other.example/x"], options: { "signed-by": "/usr/share/keyrings/x.gpg" } });
  });

  test("both formats are read from a folder, and other files are not", () => {
    mkdirSync(join(folder, "sources.list.d"));
    writeFileSync(join(folder, "sources.list"), "deb http://a.example/debian bookworm main\n");
    writeFileSync(
      join(folder, "sources.list.d/b.sources"),
      "Types: deb\nURIs: http://b.example/debian\nSuites: bookworm\nComponents: main\n",
    );
    writeFileSync(join(folder, "sources.list.d/c.list.save"), "deb http://c.example/debian bookworm main\n");
    expect(machineSources(folder).flatMap(({ uris }) => uris)).toEqual(["http://a.example/debian", "http://b.example/debian"]);
  });

  test("backports are added on the mirror of the distribution, foreign archives are left out", () => {
    const sources = parseList(`deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main
deb http://foreign.example/apt stable main
deb cdrom:[Debian]/ bookworm main`);
    expect(sourceLines(sources, "bookworm", true, noKey)).toEqual([
      "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main",
      "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm-backports main",
      "deb http://mirror.example/debian-security bookworm-security main",
    ]);
    expect(sourceLines(sources, "bookworm", false, noKey)).toHaveLength(2);
  });

  test("a key that stands in a stanza becomes a file", () => {
    const source = { uris: ["http://m.example"], suites: ["trixie"], components: ["main"], options: {}, key: "KEY" };
    expect(sourceLines([source], "trixie", false, (key) => `/keys/${key}`)).toEqual([
      "deb [signed-by=/keys/KEY] http://m.example trixie main",
    ]);
  });
});

describe("the cache folder", () => {
  const isWhole = (at: string) => readJson(join(at, "done.json")) !== undefined;

  test("a folder is filled once and appears whole", () => {
    const target = join(folder, "thing");
    let filled = 0;
    const fill = (draft: string) => {
      filled += 1;
      expect(draft).not.toBe(target);
      writeJson(join(draft, "done.json"), true);
    };
    fillOnce(target, isWhole, fill);
    fillOnce(target, isWhole, fill);
    expect(filled).toBe(1);
    expect(isWhole(target)).toBe(true);
  });

  test("a failure leaves nothing behind", () => {
    const target = join(folder, "thing");
    const broken = () => {
      throw new Error("no network");
    };
    expect(() => fillOnce(target, isWhole, broken)).toThrow("no network");
    expect(readJson(join(target, "done.json"))).toBeUndefined();
    fillOnce(target, isWhole, (draft) => writeJson(join(draft, "done.json"), true));
    expect(isWhole(target)).toBe(true);
  });
});

const adapter = (description: string, architecture = ""): AdapterReport => ({
  vendor: "",
  architecture,
  device: "",
  description,
  isFallbackAdapter: false,
  features: ["subgroups"],
  limits: { maxBufferSize: 1 },
  subgroupMinSize: 8,
  subgroupMaxSize: 8,
});
const candidate = (where: string): Candidate => ({ env: { VK_ICD_FILENAMES: where }, where, origin: where, files: [] });

/** A machine whose drivers are these; null is one that Dawn refuses. */
function machine(drivers: Record<string, AdapterReport | null>) {
  const asked: string[] = [];
  const prober: Prober = ({ where }) => {
    asked.push(where);
    const found = drivers[where];
    return found ? { adapter: found } : { refused: "Dawn finds no adapter in it" };
  };
  return { asked, candidates: Object.keys(drivers).map(candidate), prober };
}

describe("the choice of a driver", () => {
  const gpu = adapter("NVIDIA H100", "hopper");
  const lavapipe = adapter("llvmpipe: Mesa 25.0.7 (LLVM 15.0.6)");
  const swiftshader = adapter("SwiftShader driver 5.0.0", "swiftshader");

  test("kinds are told by what the adapter says of itself", () => {
    expect([gpu, lavapipe, swiftshader].map(kindOf)).toEqual(["hardware", "lavapipe", "swiftshader"]);
  });

  test("the first that Dawn accepts wins, and no later one is asked", () => {
    const { asked, ...options } = machine({ old: null, cached: lavapipe, other: swiftshader });
    expect(chooseDriver(undefined, options)).toMatchObject({ kind: "lavapipe", where: "cached" });
    expect(asked).toEqual(["old", "cached"]);
  });

  test("a preference passes over better drivers", () => {
    const options = machine({ system: gpu, cached: lavapipe, other: swiftshader });
    expect(chooseDriver(undefined, options).kind).toBe("hardware");
    expect(chooseDriver("swiftshader", options)).toMatchObject({ kind: "swiftshader", where: "other" });
    expect(findDrivers(options).map(({ kind }) => kind)).toEqual(["hardware", "lavapipe", "swiftshader"]);
  });

  test("lavapipe can be asked for a subgroup width; others take no notice", () => {
    const options = { ...machine({ cached: lavapipe, other: swiftshader }), width: 16 as const };
    expect(driverEnv(chooseDriver("lavapipe", options))).toEqual({
      VK_ICD_FILENAMES: "cached",
      LP_NATIVE_VECTOR_WIDTH: "512",
      MALLOC_ARENA_MAX: "1",
      DIT_COMPILE_DRIVER: "lavapipe",
    });
    expect(chooseDriver("swiftshader", options).env).toEqual({ VK_ICD_FILENAMES: "other" });
  });

  test("without a driver the error names what was tried and the command that mends it", () => {
    expect(() => chooseDriver(undefined, machine({ "/lvp_icd.json": null }))).toThrow(DitError);
    expect(() => chooseDriver(undefined, machine({ "/lvp_icd.json": null }))).toThrowErrorMatchingInlineSnapshot(`
      [DitError: error DIT5001: there is no GPU and no software driver that Dawn accepts on this machine
        note: /lvp_icd.json: Dawn finds no adapter in it
        help: npx dit-compile doctor --fetch]
    `);
    expect(() => chooseDriver("lavapipe", machine({ a: swiftshader }))).toThrow(/no lavapipe driver.*\n.*a: is swiftshader/);
    expect(() => chooseDriver(undefined, machine({}))).toThrow("npx dit-compile doctor --fetch");
  });

  test("VK_ICD_FILENAMES of the user is the only candidate, the first for a kind asked by name, and ours is not taken for the user's", () => {
    const chosen = driverCandidates({ VK_ICD_FILENAMES: "/mine.json" });
    expect(chosen).toMatchObject([{ env: {}, where: "/mine.json" }]);
    expect(driverCandidates({ VK_ICD_FILENAMES: "/mine.json" }, "swiftshader")[0]).toEqual(chosen[0]);
    const inherited = driverCandidates({ VK_ICD_FILENAMES: "/mine.json", DIT_COMPILE_DRIVER: "lavapipe" });
    expect(inherited.map(({ where }) => where)).not.toContain("/mine.json");
  });

  test("what lies in the cache folder is a candidate: lavapipe before SwiftShader", () => {
    vi.stubEnv("DIT_COMPILE_CACHE", folder);
    for (const name of ["swiftshader", "lavapipe"])
      writeJson(join(folder, name, "icd.json"), { ICD: { library_path: `/${name}.so` } });
    const cached = driverCandidates({}).filter(({ where }) => where.startsWith(folder));
    expect(cached.map(({ where }) => where)).toEqual([join(folder, "lavapipe/icd.json"), join(folder, "swiftshader/icd.json")]);
    expect(cached[1]?.env.LD_LIBRARY_PATH?.split(":")[0]).toBe(join(folder, "swiftshader"));
    expect(cached[0]?.files).toContain("/lavapipe.so");
    const named = driverCandidates({ VK_ICD_FILENAMES: "/mine.json" }, "swiftshader").map(({ where }) => where);
    expect(named).toContain(join(folder, "swiftshader/icd.json"));
    vi.stubEnv("VK_ICD_FILENAMES", "/mine.json");
    expect(() => chooseDriver(undefined, machine({ "/mine.json": null }))).toThrow("unset VK_ICD_FILENAMES");
  });

  test("a limits profile has what a compilation reads and nothing that names a vendor", () => {
    expect(limitsProfile(gpu)).toEqual({
      features: ["subgroups"],
      limits: { maxBufferSize: 1 },
      subgroupMinSize: 8,
      subgroupMaxSize: 8,
    });
  });
});

describe("polling", () => {
  // Stands for the binding's callback: native, nameless, without arguments.
  const native = (run: () => void = Math.random): (() => void) => Object.defineProperty(run.bind(null), "name", { value: "" });

  test("only a native, nameless callback without arguments is taken for Dawn's", () => {
    expect(isDawnCallback(native(), [])).toBe(true);
    expect(isDawnCallback(native(), [1])).toBe(false);
    expect(isDawnCallback(Math.random, [])).toBe(false);
    expect(
      isDawnCallback(
        (
          () => () =>
            0
        )(),
        [],
      ),
    ).toBe(false);
    expect(isDawnCallback((() => 0).bind(null), [])).toBe(false);
    expect(isDawnCallback("text", [])).toBe(false);
  });

  test("Dawn's callback is delayed, others are scheduled as they came", async () => {
    const scheduled: unknown[][] = [];
    const original = Object.assign((...args: unknown[]) => scheduled.push(args), { extra: 1 }) as unknown as typeof setImmediate;
    const wrapped = pausing(original, 20);
    const own = () => 0;
    wrapped(own);
    expect(scheduled[0]).toEqual([own]);
    wrapped(native());
    const late = scheduled[1]![0] as () => void;
    const started = performance.now();
    late();
    expect(performance.now() - started).toBeGreaterThan(15);
  });

  test("a pause grows with the wait, up to the longest; a new wait begins with the shortest", () => {
    let clock = 1000;
    const pauses: number[] = [];
    vi.spyOn(performance, "now").mockImplementation(() => clock);
    vi.spyOn(Atomics, "wait").mockImplementation((...[, , , ms]) => {
      pauses.push(ms!);
      clock += ms!;
      return "timed-out";
    });
    try {
      const scheduled: (() => void)[] = [];
      const original = ((callback: () => void) => scheduled.push(callback)) as unknown as typeof setImmediate;
      const wrapped = pausing(original, 1, () => 4);
      // As the binding does: as long as something waits, a look asks for the next.
      const look: () => void = native(() => pauses.length % 40 > 0 && wrapped(look));
      const wait = (): number[] => {
        wrapped(look);
        while (scheduled.length > 0) scheduled.shift()!();
        return pauses.splice(0);
      };
      const first = wait();
      expect(first).toHaveLength(40);
      expect([first[0], first[9], first.at(-1)]).toEqual([1, 1, 4]);
      expect(first).toEqual(first.toSorted((a, b) => a - b));
      expect(first[20]! / first.slice(0, 20).reduce((a, b) => a + b)).toBeCloseTo(0.1);
      clock += 5000;
      expect(wait().map((ms) => ms.toFixed(6))).toEqual(first.map((ms) => ms.toFixed(6)));
    } finally {
      vi.restoreAllMocks();
    }
  });

  test("arguments, handles and promisify work as before", async () => {
    const wrapped = pausing(globalThis.setImmediate);
    expect(await new Promise((resolve) => wrapped(resolve, "value"))).toBe("value");
    expect(await promisify(wrapped)("promised")).toBe("promised");
    const handle = wrapped(() => expect.unreachable());
    clearImmediate(handle);
  });
});
