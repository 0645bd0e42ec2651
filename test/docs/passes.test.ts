/**
 * docs/passes.md takes one block of a DiT through the passes; here each of them is run again. Values keep their names from pass to pass,
 * so that what a pass takes away and what it puts there can be shown as two lists of lines.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { findFn, type Module, type Node, type Value } from "../../src/ir/graph.js";
import { printNode } from "../../src/ir/print.js";
import { passes } from "../../src/passes/index.js";
import { checkExcerpts } from "./generated.js";

const file = "models/dit.graph.ts";
const source = readFileSync(join(import.meta.dirname, "../..", file), "utf8").split("\n");
/** The block and the functions it is made of stand together: their lines, counted from 1. */
const first = source.findIndex((text) => text.startsWith("function heads<")) + 1;
const last =
  source.indexOf(
    "}",
    source.findIndex((text) => text.startsWith("function adaLNZero(")),
  ) + 1;
const ofBlock = ({ loc }: Node): boolean => loc !== undefined && loc.line >= first && loc.line <= last;

async function stagesOf(entry: string): Promise<readonly { readonly pass: string; readonly nodes: readonly Node[] }[]> {
  const stages: { pass: string; nodes: readonly Node[] }[] = [];
  const after = (pass: string, module: Module) => stages.push({ pass, nodes: findFn(module, entry)!.nodes.filter(ofBlock) });
  await compile(file, { preset: "tiny", set: ["depth=1"], entries: [entry], after });
  return stages;
}

/** Prints nodes; a value has one name for ever. */
function printer(): (nodes: readonly Node[]) => string[] {
  const names = new Map<Value, string>();
  const counts = new Map<string, number>();
  const name = (v: Value): void => {
    if (names.has(v)) return;
    const hint = v.name ?? "";
    const n = counts.get(hint) ?? 0;
    counts.set(hint, n + 1);
    names.set(v, hint === "" ? String(n) : n === 0 ? hint : `${hint}.${n}`);
  };
  return (nodes) =>
    nodes.map((node) => {
      for (const v of [...node.inputs, ...node.outputs]) name(v);
      return printNode(node, names, { locs: false });
    });
}

/** What is gone and what is new, in the order in which it stands. */
function change(before: readonly string[], after: readonly string[]): string {
  const [was, is] = [new Set(before), new Set(after)];
  return [
    ...before.filter((l) => !is.has(l)).map((l) => `- ${l}`),
    ...after.filter((l) => !was.has(l)).map((l) => `+ ${l}`),
  ].join("\n");
}

test("the page shows what each pass does", { timeout: 60_000 }, async () => {
  const forward = await stagesOf("forward");
  const print = printer();
  const excerpts: Record<string, string> = {};
  let before: readonly string[] = [];
  for (const { pass, nodes } of forward) {
    const lines = print(nodes);
    const text = pass === "trace" || pass === "fuse" ? lines.join("\n") : change(before, lines);
    if (text !== "") excerpts[pass] = text;
    before = lines;
  }
  const kernels = (await stagesOf("loss_and_grad")).at(-1)!;
  excerpts.backward = printer()(kernels.nodes).join("\n");
  expect(forward.map(({ pass }) => pass)).toEqual(["trace", ...passes.map(({ name }) => name)]);
  checkExcerpts("docs/passes.md", excerpts);
});
