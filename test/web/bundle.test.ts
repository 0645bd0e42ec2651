/**
 * The bundle in a browser: a page and a worker of headless Chromium compute, bit by bit, what Node computes on the SwiftShader library
 * that this Chromium brings. All three run test/web/steps.js; the runtime is bundled from the sources as they are now.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, extname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { rolldown } from "rolldown";
import ts from "typescript";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleFiles } from "../../src/compile/bundle.js";
import { compile } from "../../src/compile/compile.js";
import { writeSafetensors } from "../../src/formats/safetensors.js";
import type { Program } from "../../src/program/program.js";
import { findChromium } from "../../src/runtime/node/chromium.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { launchChromium } from "./browser.js";
import { steps, uniform } from "./steps.js";

const bundleTop = ["index.js", "program.json", "constants.bin", "weights.safetensors"];
const mend = "npx dit-compile doctor --fetch";
const here = dirname(fileURLToPath(import.meta.url));

type Results = Awaited<ReturnType<typeof steps>>;

let folder: string;
let program: Program;
let server: Server;
let origin: string;
let browser: Browser;
let page: Page;
let dawn: DawnDevice;
let expected: Results;
/** What the page asked for, and what it said on its console. */
const requested: string[] = [];
const said: string[] = [];

beforeAll(async () => {
  const { bundle } = await compile("models/dit.graph.ts", { preset: "tiny", set: ["respacing=5"], batch: 4, variants: 1 });
  program = bundle.program;
  folder = mkdtempSync(join(tmpdir(), "dit-compile-bundle-"));
  const files = bundleFiles(bundle, await runtimeText());
  files.set("variants.js", await runtimeText("variants", ["./index.js"]));
  files.set("weights.safetensors", weightsFile(program));
  for (const [name, content] of files) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }

  browser = await launchChromium();
  const { swiftshader, executablePath } = findChromium()!;
  if (!process.env.VK_ICD_FILENAMES?.startsWith(dirname(swiftshader ?? "none"))) {
    throw new Error(`Node does not run on the SwiftShader of ${executablePath}: ${mend}`);
  }
  page = await browser.newPage();
  page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("request", (request) => requested.push(request.url()));
  origin = await serve();
  await page.goto(`${origin}/page.html`);

  dawn = await requestDevice();
  const { load } = await import(pathToFileURL(join(folder, "index.js")).href);
  expected = await steps(load, { device: dawn.device });
}, 300_000);

afterAll(async () => {
  await browser?.close();
  server?.close();
  dawn?.dispose();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** The runtime as the build bundles it, but from the sources. */
async function runtimeText(name = "web", external: string[] = []): Promise<string> {
  const build = await rolldown({ input: `src/runtime/${name}.ts`, platform: "browser", external });
  const { output } = await build.generate({ format: "esm", minify: false });
  await build.close();
  return output[0].code;
}

/** Weights, and averages that differ from them: random, so that nothing is zero by initialisation. */
function weightsFile({ parameters }: Program): Uint8Array {
  const random = uniform(2);
  const tensor = (shape: readonly number[]) => {
    const data = Float32Array.from({ length: shape.reduce((n, size) => n * size, 1) }, () => 0.2 * random());
    return { dtype: "F32", shape: [...shape], data } as const;
  };
  return writeSafetensors(
    new Map(parameters.flatMap(({ name, shape }) => [name, `ema.${name}`].map((key) => [key, tensor(shape)] as const))),
  );
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".wgsl": "text/plain",
};

/** A plain web server: this folder at the top, the bundle in dit/. */
async function serve(): Promise<string> {
  server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const file = path.startsWith("/dit/") ? join(folder, path.slice(5)) : join(here, path.slice(1));
    try {
      const content = readFileSync(file);
      const type = types[extname(file)] ?? "application/octet-stream";
      response.writeHead(200, { "content-type": type, "content-length": content.length }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  return `http://localhost:${(server.address() as AddressInfo).port}`;
}

/** The steps in the page: the bundle by its address, relative to the page. */
const inPage = (): Promise<Results> =>
  page.evaluate(
    `(async () => {
      const [{ loadFrom }, { steps }] = await Promise.all([import("./dit/index.js"), import("./steps.js")]);
      return steps((options) => loadFrom("dit", options));
    })()`,
  );

/** The steps in a worker: the bundle by the place of its own script. */
const inWorker = (): Promise<{ result?: Results; error?: string }> =>
  page.evaluate(
    `new Promise((resolve) => {
      const worker = new Worker("./worker.js", { type: "module" });
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => resolve({ error: message });
    })`,
  );

test("Chromium offers an adapter, of the driver that Node runs on", async () => {
  const info: string | null = await page.evaluate(
    `navigator.gpu?.requestAdapter().then((adapter) => adapter && [adapter.info.vendor, adapter.info.architecture].join(" ")) ?? null`,
  );
  expect(info, `no WebGPU adapter in Chromium: ${mend}`).toContain("swiftshader");
  expect(dawn.kind).toBe("swiftshader");
});

test("Node: the numbers are worth comparing", () => {
  const { tensors, losses } = expected.numbers;
  expect(losses.every((loss) => Number.isFinite(loss) && loss > 0)).toBe(true);
  expect(new Set(losses).size).toBe(3);
  const trained = program.parameters.filter((p) => p.trainable).length;
  for (const set of ["p", "m", "v", "ema"]) {
    expect(Object.keys(tensors).filter((name) => name.startsWith(`after step 3: ${set}.`)).length).toBeGreaterThanOrEqual(
      trained,
    );
  }
  expect(Object.entries(tensors).filter(([, digest]) => /zero|finite/.test(digest))).toEqual([]);
});

const stages = ["files", "files done", "pipelines", "pipelines done", "weights", "weights done"];

test("a page computes the bits of Node", async () => {
  const found = await inPage();
  expect(found.numbers).toEqual(expected.numbers);
  expect(found.stages.sort()).toEqual(stages);
});

test("a worker computes the bits of Node", async () => {
  const { result, error } = await inWorker();
  expect(error).toBeUndefined();
  expect(result?.numbers).toEqual(expected.numbers);
  expect(result?.stages.sort()).toEqual(stages);
});

test("the browser asked for nothing but the page and the bundle, and had nothing to complain of", () => {
  const texts = program.kernels.flatMap((kernel) => kernel.variants.map(({ file }) => file));
  const own = new Set(["page.html", "steps.js", "worker.js", ...[...bundleTop, ...texts].map((file) => `dit/${file}`)]);
  const asked = requested.map((url) => url.replace(`${origin}/`, ""));
  expect(asked).toContain("dit/program.json");
  expect(asked.filter((path) => !own.has(path))).toEqual([]);
  expect(said).toEqual([]);
});

test("variants are there for a page that asks for them", async () => {
  const found: { measured: number; taken: string[] } = await page.evaluate(
    `(async () => {
      const [{ fetchBundle, webDevice, createSession }, { fetchVariants, selectVariants, withVariants }] =
        await Promise.all([import("./dit/index.js"), import("./dit/variants.js")]);
      const folder = new URL("./dit/", document.baseURI);
      const bundle = await fetchBundle(folder);
      const all = await fetchVariants(folder);
      const work = all.works.find(({ dispatches }) => dispatches.some(({ entry }) => entry === "forward"));
      const variants = { ...all, works: [work] };
      const { device } = await webDevice(bundle.program);
      const { choices, measured } = await selectVariants(bundle, variants, device, { rounds: 1 });
      const { key, ways } = work;
      const forced = withVariants(bundle, variants, { ...choices, [key]: ways[0].choice });
      const session = await createSession(forced, device, { entries: ["forward"] });
      const taken = session.variants.map(({ kernel }) => kernel).filter((name) => name.startsWith("variant-"));
      session.dispose();
      device.destroy();
      return { measured: measured[key].ways[ways[0].choice], taken };
    })()`,
  );
  expect(found.measured).toBeGreaterThan(0);
  expect(found.taken).toHaveLength(1);
  expect(requested.filter((url) => url.includes("variants")).sort()).toEqual(
    ["variants.js", "variants.json"].map((file) => `${origin}/dit/${file}`),
  );
});

test("the bundle's files import nothing", () => {
  for (const name of ["index.js", "index.d.ts"]) {
    const text = readFileSync(join(folder, name), "utf8");
    const { importedFiles, referencedFiles, typeReferenceDirectives } = ts.preProcessFile(text, true, true);
    expect([...importedFiles, ...referencedFiles, ...typeReferenceDirectives], name).toEqual([]);
    expect(text, name).not.toMatch(/^\s*(import|export\s.*\sfrom)\s/m);
  }
});
