/**
 * Failing well: for each way in which a command line, a file, a disk or a driver can be wrong, all that is said, exit code 1, and nothing
 * half-written. What is wrong inside a model file is in test/language/mistakes.test.ts, what needs a GPU in test/one.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { writeBundle } from "../../src/compile/bundle.js";
import { compile } from "../../src/compile/compile.js";
import { refuseSystem } from "../../src/formats/files.js";
import { dit, model } from "./capture.js";

const root = join(import.meta.dirname, "../..");
const lines = "\n  help: dit-compile --help lists the commands, dit-compile COMMAND --help their options";
let folder: string;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dit-failing-"));
  const { bundle } = await compile(model("mlp"), { preset: "tiny", entries: ["forward"] });
  await writeBundle(bundle, at("bundle"));
  writeFileSync(at("file"), "");
  writeFileSync(at("thrown.graph.ts"), 'throw new Error("not today");\nexport default 1;\n');
  writeFileSync(at("types.graph.ts"), 'const n: number = "six";\nexport default n;\n');
  writeFileSync(at("short.safetensors"), Uint8Array.of(9, 0, 0));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

/** What the command says, with the names of folders that differ from run to run left out. */
async function said(...args: string[]): Promise<string> {
  // A driver that was found already: the search for one is not what fails here.
  if (process.env.VK_ICD_FILENAMES !== "/none.json") vi.stubEnv("DIT_COMPILE_DRIVER", "lavapipe");
  const before = readdirSync(folder, { recursive: true }).sort();
  const { code, out, err } = await dit(...args);
  expect([code, out]).toEqual([1, ""]);
  expect(readdirSync(folder, { recursive: true }).sort()).toEqual(before);
  return err.replaceAll(`${folder}/`, "").trimEnd();
}

describe("arguments", () => {
  const mlp = model("mlp");
  test.each<[string[], string]>([
    [["--prset", "tiny", mlp], `error DIT7001: unknown option '--prset'\n(Did you mean --preset?)${lines}`],
    [
      [mlp, "--emit", "asm"],
      `error DIT7001: option '--emit <what>' argument 'asm' is invalid. Allowed choices are ir, wgsl, plan, report.${lines}`,
    ],
    [[mlp, "--batch", "two"], "error DIT7001: --batch two: expected a whole number from 1"],
    [[mlp, "--preset", "tini"], 'error DIT1101: MLP has no preset "tini"\n  help: did you mean tiny?'],
    [[mlp, "--set", "hiden=3"], 'error DIT1103: --set hiden=3: MLP has no setting "hiden"\n  help: did you mean hidden?'],
    [[mlp, "--set", "hidden=many"], "error DIT1103: --set hidden=many: hidden is a number, for example 128"],
    [[mlp, "--entry", "forwrd"], 'error DIT1302: MLP has no entry "forwrd"\n  help: did you mean forward?'],
    [["docter"], 'error DIT7001: there is no command and no file "docter"\n  help: did you mean "doctor"?'],
    [
      ["nowhere.graph.ts"],
      "error DIT1003: there is no file nowhere.graph.ts\n  help: check the path; it is taken from the folder that the command runs in",
    ],
    [["run", "bundle", "-o", "x"], `error DIT7001: required option '-e, --entry <name>' not specified${lines}`],
    [["sample", "-o", "x.gif"], "error DIT7001: --output x.gif: expected a name that ends in .png or .safetensors"],
    [
      ["sample", "--class", "one"],
      'error DIT7001: --class one: "one" is no class number\n  help: like --class 3 or --class 0,1,2',
    ],
    [["sample", "--memory", "lots"], "error DIT7001: --memory lots: expected bytes, like 512MiB or 1.5GiB"],
    [["sample", "--memory", "0"], "error DIT7001: --memory 0: expected bytes, like 512MiB or 1.5GiB"],
    [
      ["doctor", "--driver", "cuda"],
      `error DIT7001: option '--driver <kind>' argument 'cuda' is invalid. Allowed choices are hardware, lavapipe, swiftshader.${lines}`,
    ],
    [
      [model("dit"), "--preset", "tiny", "--set", "respacing=ddim300"],
      `error DIT4102: respacing "ddim300" of 1000 steps: no whole stride gives exactly 300 steps
  note: expected "" (all steps), "250", "10,15,20" (steps in each section) or "ddim50" (a constant stride)
  help: use "ddim334" or "ddim250", or "300" for uneven strides`,
    ],
    [
      ["sample", model("dit"), "--preset", "tiny", "--sampler", "dpm_solver++", "--set", "respacing=ddim50"],
      `error DIT4104: respacing "ddim50" does not say how many steps DPM-Solver++ takes
  note: expected one whole number from 1 to 999: it spaces its steps itself, evenly over the 1000 timesteps
  help: set respacing=20, or 10 for a faster look; sections and ddimN are for ddpm and ddim`,
    ],
    [
      ["sample", model("dit"), "--preset", "tiny", "--sampler", "dpm"],
      "error DIT1103: --set sampler=dpm: sampler is one of ddpm, ddim, dpm_solver++",
    ],
  ])("%j", async (args, text) => {
    expect(await said(...args)).toBe(text);
  });

  test("with --json the same is one JSON value on the standard output, and nothing else is said", async () => {
    const { code, out, err } = await dit("--prset", "tiny", mlp, "--json");
    expect([code, err]).toEqual([1, ""]);
    expect(JSON.parse(out)).toEqual({
      error: [{ code: "DIT7001", message: "unknown option '--prset'", help: "Did you mean --preset?" }],
    });
    const two = await dit(mlp, "--json", "--set", "hiden=3", "--set", "depth");
    expect(JSON.parse(two.out)).toEqual({
      error: [
        { code: "DIT1103", message: '--set hiden=3: MLP has no setting "hiden"', help: "did you mean hidden?" },
        { code: "DIT1103", message: "--set depth: expected key=value" },
      ],
    });
    const text = await dit(mlp, "--json", "--emit", "ir");
    expect(JSON.parse(text.out)).toEqual({
      error: [
        { code: "DIT7001", message: "--json prints the report alone: --emit ir is text", help: "leave one of the two out" },
      ],
    });
  });

  test("after -- it is an argument", async () => {
    expect(await said("--", "--json")).toBe(
      'error DIT7001: there is no command and no file "--json"\n  help: there are: compile, train, sample, run, import, export, inspect, profile, tune, doctor',
    );
  });
});

test("--json: the report of a compilation", async () => {
  const { code, out, err } = await dit(model("mlp"), "--preset", "tiny", "--entry", "forward", "--batch", "3", "--json");
  expect([code, err]).toEqual([0, ""]);
  const found = JSON.parse(out);
  expect(Object.keys(found)).toEqual(["model", "program", "target", "output", "report"]);
  expect(found).toMatchObject({ model: { name: "MLP", preset: "tiny" }, target: "web", output: null });
  expect(found.report).toMatchObject({ batch: 3, entries: [{ name: "forward" }] });
});

describe("files", () => {
  const run = (...args: string[]) => said("run", at("bundle"), "-e", "forward", "-o", at("out"), ...args);

  test("a model file that throws, and one that does not type-check", async () => {
    expect(await said(at("thrown.graph.ts"), "-o", at("out"))).toBe(
      `thrown.graph.ts:1:7: error DIT1005: the model file threw Error: not today
 1 | throw new Error("not today");
   |       ^`,
    );
    expect(await said(at("types.graph.ts"), "-o", at("out"))).toBe(
      `types.graph.ts:1:7: error DIT1002: Type 'string' is not assignable to type 'number'. (TS2322)
 1 | const n: number = "six";
   |       ^`,
    );
  });

  test("no bundle, and no entry of the name", async () => {
    expect(await said("run", at("nowhere"), "-e", "forward", "-o", at("out"))).toBe(
      "error DIT7012: there is no bundle nowhere\n  help: dit-compile MODEL -o DIR writes one",
    );
    expect(await said("run", at("bundle"), "-e", "forwrd", "-o", at("out"))).toBe(
      'error DIT7020: the bundle has no entry "forwrd"\n  help: did you mean "forward"?',
    );
  });

  test("inputs: none, no file, and one that is cut short", async () => {
    expect(await run()).toBe(
      `error DIT7020: the inputs do not fit forward of MLP tiny at batch 1
  note: x: missing, expected f32 [batch 1, pixel 16]
  note: 4 weights: missing, give a weights file`,
    );
    expect(await run("-i", at("nowhere"))).toBe("error DIT4001: cannot read nowhere: it does not exist\n  help: check the path");
    expect(await run("-i", at("short.safetensors"))).toBe(
      `error DIT4010: short.safetensors: not a safetensors file, it has 3 bytes and the header length alone takes 8
  help: the file is damaged or is not a safetensors file: download or write it again`,
    );
    expect(await run("-i", folder)).toBe(`error DIT4001: cannot read ${folder}: it is a folder\n  help: name a file inside it`);
  });

  test("weights: none in the folder", async () => {
    expect(await said("sample", at("bundle"), "-o", at("x.png"))).toBe(
      `error DIT7001: there are no weights to draw with in bundle
  help: give --weights FILE, or a folder that dit-compile train wrote`,
    );
  });
});

describe("writing", () => {
  const out = (dir: string) => said(model("mlp"), "--preset", "tiny", "--entry", "forward", "-o", dir);

  test("below a file, and where the system makes none", async () => {
    expect(await out(at("file/below"))).toBe(
      "error DIT7011: cannot write the bundle file/below: a part of the path is a file, not a folder\n  help: check the path",
    );
    expect(await out("/proc/below/it")).toBe(
      "error DIT7011: cannot write the bundle /proc/below/it: nothing can be made there\n  help: choose another folder",
    );
  });

  test("a folder that holds other things", async () => {
    mkdirSync(at("mine"));
    writeFileSync(at("mine/thesis.txt"), "years");
    expect(await out(at("mine"))).toBe(
      `error DIT7010: mine holds other things than a bundle (thesis.txt): nothing was written
  help: name a new folder, or one that dit-compile wrote`,
    );
  });

  // The limit on a file's size makes the system refuse a write in the middle, as a full disk does; no right is needed for it.
  test("a disk that takes no more, in the middle of a bundle: the old one stays", { timeout: 120_000 }, () => {
    const before = readdirSync(folder, { recursive: true }).sort();
    const program = readFileSync(at("bundle/program.json"), "utf8");
    const main = join(root, "dist/cli/main.js");
    expect(existsSync(main), "npm run build comes first").toBe(true);
    const command = `ulimit -f 20; exec "${process.execPath}" "${main}" models/mlp.graph.ts --preset tiny --batch 2 -o "${at("bundle")}"`;
    const { status, stdout, stderr } = spawnSync("bash", ["-c", command], { cwd: root, encoding: "utf8" });
    expect([status, stdout, stderr.replace(`${folder}/`, "")]).toEqual([
      1,
      "",
      "error DIT7011: cannot write the bundle bundle: it would be larger than files may be here\n" +
        "  help: raise the limit (`ulimit -f`) or choose another disk\n",
    ]);
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual(before);
    expect(readFileSync(at("bundle/program.json"), "utf8")).toBe(program);
  });

  test("the same, of a single file", () => {
    const before = readdirSync(folder, { recursive: true }).sort();
    const files = JSON.stringify(pathToFileURL(join(root, "dist/formats/files.js")).href);
    const script = `const { writeFileAtomic } = await import(${files}); await writeFileAtomic("file", new Uint8Array(1e6)).catch((e) => console.log(e.message));`;
    const { stdout } = spawnSync("bash", ["-c", `ulimit -f 20; exec "${process.execPath}" --input-type=module -e '${script}'`], {
      cwd: folder,
      encoding: "utf8",
    });
    expect(stdout).toBe(
      "error DIT4002: cannot write file: it would be larger than files may be here\n  help: raise the limit (`ulimit -f`) or choose another disk\n",
    );
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual(before);
    expect(readFileSync(at("file"), "utf8")).toBe("");
  });

  test.each([
    ["ENOSPC", "the disk is full", "free some space or choose another disk"],
    ["EDQUOT", "your quota is used up", "free some space or choose another disk"],
    ["EACCES", "permission is denied", "check who owns it and its access rights"],
    ["EROFS", "the file system is read-only", "choose another folder"],
  ])("%s", (code, reason, help) => {
    const error = Object.assign(new Error("refused"), { code, errno: -28 });
    expect(() => refuseSystem("DIT4002", "write", "x.png", error)).toThrow(
      `error DIT4002: cannot write x.png: ${reason}\n  help: ${help}`,
    );
  });
});

describe("drivers", () => {
  test("there is none", { timeout: 120_000 }, async () => {
    vi.stubEnv("VK_ICD_FILENAMES", "/none.json");
    vi.stubEnv("VK_DRIVER_FILES", "");
    vi.stubEnv("DIT_COMPILE_CACHE", mkdtempSync(join(tmpdir(), "dit-empty-cache-")));
    expect(await said("run", at("bundle"), "-e", "forward", "-o", at("out"))).toBe(
      `error DIT5001: there is no GPU and no software driver that Dawn accepts on this machine
  note: /none.json: Dawn finds no adapter in it
  help: unset VK_ICD_FILENAMES and VK_DRIVER_FILES, which hide every other driver`,
    );
    rmSync(process.env.DIT_COMPILE_CACHE!, { recursive: true, force: true });
  });

  // What a command does, with a driver that dies in place of the work; `ensureDriver` starts the script again as it starts a command.
  test.each([
    ["SIGSEGV", "try it once more, then on another driver (--driver); dit-compile doctor lists those of this machine"],
    ["SIGKILL", "the system kills a process that takes too much memory: a smaller --batch needs less"],
  ])("it dies: %s", { timeout: 60_000 }, (signal, help) => {
    const dist = (path: string) => JSON.stringify(pathToFileURL(join(root, "dist", path)).href);
    const adapter = { vendor: "", architecture: "", device: "", description: "a fragile one", isFallbackAdapter: false };
    const script = at(`died-${signal}.mjs`);
    writeFileSync(
      script,
      `import { exitCode, terminal } from ${dist("cli/io.js")};
import { ensureDriver } from ${dist("runtime/node/driver.js")};
const candidates = [{ env: { FRAGILE: "1" }, where: "fragile.json", origin: "a driver for tests", files: [] }];
const prober = () => ({ adapter: ${JSON.stringify({ ...adapter, features: [], limits: {} })} });
const work = async () => {
  await ensureDriver(undefined, { candidates, prober });
  process.kill(process.pid, ${JSON.stringify(signal)});
  await new Promise((resolve) => setTimeout(resolve, 60_000));
};
process.exitCode = await exitCode(terminal, work, process.argv.includes("--json"));
`,
    );
    const { DIT_COMPILE_DRIVER: _, ...env } = process.env;
    const start = (...args: string[]) => spawnSync(process.execPath, [script, ...args], { env, encoding: "utf8" });
    const notes = ["the driver is a driver for tests: a fragile one", "fragile.json"];
    const { status, stdout, stderr } = start();
    expect([status, stdout, stderr]).toEqual([
      1,
      "",
      `error DIT5003: the driver died (${signal}) before the command had ended
  note: ${notes[0]}
  note: ${notes[1]}
  help: ${help}
`,
    ]);
    const json = start("--json");
    expect([json.status, json.stderr]).toEqual([1, ""]);
    expect(JSON.parse(json.stdout)).toEqual({
      error: [{ code: "DIT5003", message: `the driver died (${signal}) before the command had ended`, notes, help }],
    });
  });
});
