/**
 * The shape of the house, read from the imports of src/: who may call whom (only downwards), no circles between files, and files that
 * are short and say at their head what they are for. docs/architecture.md explains the rooms.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../src");

/** What each room may import besides itself. A file right under src/ is a room of its own. */
const may: Readonly<Record<string, readonly string[]>> = {
  program: [],
  diagnostics: [],
  ir: ["program", "diagnostics"],
  passes: ["ir", "program", "diagnostics"],
  codegen: ["ir", "program", "diagnostics"],
  dsl: ["ir", "program", "diagnostics"],
  // Training and diffusion are graph functions in the model language.
  training: ["dsl", "ir", "program", "diagnostics"],
  diffusion: ["training", "dsl", "ir", "program", "diagnostics"],
  frontend: ["dsl", "ir", "program", "diagnostics"],
  formats: ["program", "diagnostics"],
  // PyTorch's, diffusers' and this program's own files as tensors by official names; pages import it, too.
  checkpoints: ["diffusion", "formats", "program", "diagnostics"],
  // A web bundle ships this and never a line of compiler.
  runtime: ["program"],
  "runtime/node": ["runtime", "program", "diagnostics"],
  // Axes, lines and dots as SVG and PNG.
  chart: [],
  profiler: ["chart", "runtime", "program", "diagnostics"],
  tuner: ["compile", "codegen", "profiler", "runtime", "formats", "program", "diagnostics"],
  // A run held against the CPU reference.
  check: ["compile", "codegen", "ir", "runtime", "runtime/node", "program", "diagnostics"],
  data: ["runtime", "runtime/node", "formats", "program", "diagnostics"],
  trainer: ["chart", "checkpoints", "data", "node", "runtime", "runtime/node", "formats", "program", "diagnostics"],
  compile: ["frontend", "dsl", "training", "diffusion", "formats", "codegen", "passes", "ir", "program", "diagnostics"],
  // The graph for other programs: ONNX and PyTorch.
  exports: ["compile", "checkpoints", "passes", "diffusion", "dsl", "formats", "ir", "program", "diagnostics"],
  // What Node does with a bundle: read it, give it weights, run it.
  node: ["runtime", "runtime/node", "formats", "program", "diagnostics"],
  // Of the compiler it sees compile(), and what it prints: passes and their IR.
  cli: [
    ...[
      "compile",
      "exports",
      "check",
      "checkpoints",
      "node",
      "trainer",
      "profiler",
      "tuner",
      "data",
      "formats",
      "runtime",
      "runtime/node",
    ],
    ...["passes", "ir", "program", "diagnostics"],
  ],
  // The two public faces.
  language: ["dsl", "training", "diffusion"],
  index: ["language", "compile", "diagnostics"],
};

/** Model files import "dit-compile", so compile() hands them this very library; it asks for it when it runs, not when it loads. */
const late = ["compile/compile.ts -> index.ts"];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly line: number;
  /** `import type`: gone when the program runs. */
  readonly erased: boolean;
  /** `import(…)`: loaded when it is asked for. */
  readonly late: boolean;
}

/** Threads run JavaScript from src as from dist; it is held to the same rules. */
const isSource = (path: string): boolean => /\.(ts|mjs)$/.test(path);

const sources = (readdirSync(root, { recursive: true }) as string[])
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => isSource(file))
  .sort();
const text = new Map(sources.map((file) => [file, readFileSync(join(root, file), "utf8")]));

/** Relative imports and re-exports, static and dynamic, of types too. Examples in comments are none. */
function importsOf(file: string): Import[] {
  const found: Import[] = [];
  const statement = /^\s*(?:import|export)(\s+type)?\b[^"';]*?\bfrom\s+"([^"]+)"|\bimport\s*\(\s*"([^"]+)"|^import\s+"([^"]+)"/gm;
  const code = text.get(file)!.replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, " "));
  for (const match of code.matchAll(statement)) {
    const path = match[2] ?? match[3] ?? match[4]!;
    const to = path.startsWith(".") ? posix.join(dirname(file), path).replace(/\.js$/, ".ts") : path;
    const line = lineOf(code, match[0].search(/\S/) + match.index);
    found.push({ from: file, to, line, erased: match[1] !== undefined, late: match[3] !== undefined });
  }
  return found.filter(({ from, to }) => !late.includes(`${from} -> ${to}`));
}

const lineOf = (text: string, at: number): number => text.slice(0, at).split("\n").length;

function roomOf(file: string): string {
  if (file.startsWith("runtime/node/")) return "runtime/node";
  return file.includes("/") ? file.slice(0, file.indexOf("/")) : file.replace(/\.ts$/, "");
}

const all = sources.flatMap(importsOf);
const imports = all.filter(({ to }) => isSource(to) || to.startsWith("."));
const violations = imports.filter(({ from, to }) => roomOf(from) !== roomOf(to) && !may[roomOf(from)]?.includes(roomOf(to)));
const packages = all.filter((found) => !imports.includes(found));

describe("rooms", () => {
  test("the imports were found", () => {
    expect(imports.length).toBeGreaterThan(2 * sources.length);
  });

  test("every room has its rule", () => {
    expect([...new Set(sources.map(roomOf))].filter((room) => !may[room])).toEqual([]);
  });

  test("the rules themselves only lead downwards", () => {
    expect(circles(new Map(Object.entries(may)))).toEqual([]);
  });

  test("imports obey them", () => {
    expect(
      violations.map(({ from, to, line }) => `src/${from}:${line} imports ${to}: ${roomOf(from)} may not call ${roomOf(to)}`),
    ).toEqual([]);
  });

  test("imports name files that exist", () => {
    expect(imports.filter(({ to }) => !text.has(to)).map(({ from, to, line }) => `src/${from}:${line}: ${to}`)).toEqual([]);
  });

  test("the runtime that pages load imports no package and nothing of Node", () => {
    const browser = sources.filter((file) => ["runtime", "program"].includes(roomOf(file)));
    const outside = packages.filter(({ from }) => browser.includes(from));
    expect(outside.map(({ from, to, line }) => `src/${from}:${line}: ${to}`)).toEqual([]);
  });
});

/** What is imported from outside by this file and by all that it reaches. */
function packagesWith(file: string, counts: (found: Import) => boolean): string[] {
  const reached = new Set([file]);
  for (const file of reached) for (const found of imports) if (found.from === file && counts(found)) reached.add(found.to);
  expect(reached.size).toBeGreaterThan(5);
  const outside = packages.filter((found) => reached.has(found.from) && counts(found));
  return outside.map(({ from, to, line }) => `src/${from}:${line}: ${to}`);
}

test("the reader of checkpoints that pages load imports no package and nothing of Node", () => {
  expect(packagesWith("checkpoints/index.ts", ({ erased }) => !erased)).toEqual([]);
});

test("a compiler loads no package before it is asked to do something: some take longer to load than all of it", () => {
  const atOnce = (found: Import) => !found.erased && !found.late;
  const found = packagesWith("index.ts", atOnce);
  expect(found.filter((one) => !one.includes(": node:"))).toEqual([]);
});

test("no file imports itself in a circle, types aside", () => {
  const graph = new Map<string, string[]>(sources.map((file) => [file, []]));
  for (const { from, to, erased } of imports) if (!erased) graph.get(from)!.push(to);
  expect(circles(graph)).toEqual([]);
});

test.each(sources)("%s is short and says what it is for", (file) => {
  const lines = text.get(file)!.split("\n");
  expect(lines.length).toBeLessThanOrEqual(400);
  expect(lines[0]!.startsWith("#!") ? lines[1] : lines[0]).toMatch(/^\/\*\*|^\/\/ /);
});

/** Every circle that a walk from each node finds, written out. */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (node: string) => {
    const at = path.indexOf(node);
    if (at >= 0) found.push([...path.slice(at), node].join(" -> "));
    if (at >= 0 || done.has(node)) return;
    path.push(node);
    for (const next of graph.get(node) ?? []) visit(next);
    path.pop();
    done.add(node);
  };
  for (const node of graph.keys()) visit(node);
  return found;
}
