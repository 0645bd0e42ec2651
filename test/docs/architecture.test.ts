/** docs/architecture.md follows one adaLN block through the compiler; here each stage of it is made again. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { planText } from "../../src/compile/listing.js";
import { type Fn, findFn, type Module, type Node } from "../../src/ir/graph.js";
import { printFn } from "../../src/ir/print.js";
import { bodyOf, REGION } from "../../src/ir/region.js";
import type { Bundle } from "../../src/program/program.js";
import { checkExcerpts, cut } from "./generated.js";

const file = "models/dit.graph.ts";
const source = readFileSync(join(import.meta.dirname, "../..", file), "utf8").split("\n");
/** The statement of the model that the page follows: its lines, counted from 1. */
const first = source.findIndex((text) => text.startsWith("const adaptiveNorm = ")) + 1;
const last = source.findIndex((text, i) => i + 1 >= first && text.endsWith(";")) + 1;
const here = (node: Node | undefined): boolean => node?.loc !== undefined && node.loc.line >= first && node.loc.line <= last;
const mostLines = 60;

let forward: ReadonlyMap<string, Module>;
let gradient: ReadonlyMap<string, Module>;
let bundle: Bundle;

async function stagesOf(entry: string) {
  const stages = new Map<string, Module>();
  const compiled = await compile(file, { preset: "tiny", entries: [entry], after: (pass, module) => stages.set(pass, module) });
  return { stages, bundle: compiled.bundle };
}

beforeAll(async () => {
  const [one, other] = [await stagesOf("forward"), await stagesOf("loss_and_grad")];
  forward = one.stages;
  bundle = one.bundle;
  gradient = other.stages;
}, 60_000);

/** Unbroken runs of nodes that the statement made. */
function runs(fn: Fn): Node[][] {
  const found: Node[][] = [];
  fn.nodes.forEach((node, i) => {
    if (!here(node)) return;
    if (here(fn.nodes[i - 1])) found.at(-1)!.push(node);
    else found.push([node]);
  });
  return found;
}

/** The functions of the model whose texts the page shows: the statement itself, and the block that uses it. */
function modelText(): string {
  const start = source.findIndex((text) => text.startsWith("function adaLNZero("));
  const end = source.indexOf("}", start);
  return [...source.slice(first - 1, last), "", ...source.slice(start, end + 1)].join("\n");
}

const noPlaces = { locs: false };
const firstRun = (stage: string) => {
  const fn = findFn(forward.get(stage)!, "forward")!;
  return { fn, nodes: runs(fn)[0]! };
};

function graph(): string {
  const { fn, nodes } = firstRun("trace");
  return printFn(cut(fn, "adaptiveNorm", nodes));
}

function adjoint(): string {
  const fn = findFn(gradient.get("dce")!, "loss_and_grad")!;
  return printFn(cut(fn, "adaptiveNorm_adjoint", runs(fn).at(-1)!), noPlaces);
}

function regions(): string {
  const { fn, nodes } = firstRun("fuse");
  return printFn(cut(fn, "adaptiveNorm", nodes), noPlaces);
}

/** The region that writes the result of the statement, and its dispatch. */
function lastRegion() {
  const { nodes } = firstRun("fuse");
  const node = nodes.findLast(({ op }) => op === REGION)!;
  const body = bodyOf(forward.get("fuse")!, node)!;
  const entry = bundle.program.entries.find(({ name }) => name === "forward")!;
  const label = `${file}:${node.loc!.line}:${node.loc!.column}`;
  const dispatch = entry.segments.flatMap(({ dispatches }) => dispatches).find((d) => d.label.endsWith(label))!;
  return { body, kernel: bundle.program.kernels[dispatch.kernel]! };
}

/** Bindings and generated function; the rest of the text is the family's own file. */
function wgsl(): string {
  const text = bundle.wgsl[lastRegion().kernel.variants.at(-1)!.file]!.split("\n");
  const start = text.findIndex((row) => /^fn (body|rows)\(/.test(row));
  const end = text.indexOf("}", start);
  return [...text.filter((row) => row.startsWith("@group")), "", ...text.slice(start, end + 1)].join("\n");
}

/** The rows of `--emit plan`: the dispatches of the statement's first use, and where what they touch lies. */
function plan(): string {
  const rows = planText(bundle.program).split("\n");
  const head = rows.findIndex((row) => row.startsWith("dispatch"));
  const atStatement = (row: string): boolean => {
    const at = Number(row.match(/ @ \S+:(\d+):\d+$/)?.[1] ?? 0);
    return at >= first && at <= last;
  };
  const count = firstRun("fuse").nodes.filter(({ op }) => op === REGION).length;
  const dispatches = rows.filter(atStatement).slice(0, count);
  const touched = new Set(dispatches.flatMap((row) => row.match(/(?:\d+ )*\d+(?= {2,}\w+(?: \S+)* @ )/)![0].split(" ")));
  const storageHead = rows.findIndex((row) => row.startsWith("storage"));
  const storages = rows.slice(storageHead + 1, head).filter((row) => touched.has(row.trim().split(" ")[0]!));
  return [rows[head]!, ...dispatches, "", rows[storageHead]!, ...storages].join("\n");
}

test("the page shows what the compiler makes", () => {
  const excerpts = {
    model: modelText(),
    graph: graph(),
    adjoint: adjoint(),
    regions: regions(),
    body: printFn(lastRegion().body, noPlaces),
    wgsl: wgsl(),
    plan: plan(),
  };
  for (const [name, text] of Object.entries(excerpts)) expect(text.split("\n").length, name).toBeLessThanOrEqual(mostLines);
  checkExcerpts("docs/architecture.md", excerpts);
});
