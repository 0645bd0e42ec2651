/**
 * Parts of the documentation that the compiler writes. In a page, a code block below `<!-- excerpt: name -->` is generated; the tests of
 * this folder make it again and fail where the page says something else. `DIT_UPDATE_DOCS=1` writes the pages instead.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { Fn, Node, Value } from "../../src/ir/graph.js";

const root = join(import.meta.dirname, "../..");
const marker = /<!-- excerpt: (\S+) -->\n(```\w*\n)[\s\S]*?\n```/g;

export const readPage = (page: string): string => readFileSync(join(root, page), "utf8");

/** Every excerpt of the page is one of these, every one of these is in the page, and the texts are the same. */
export function checkExcerpts(page: string, excerpts: Readonly<Record<string, string>>): void {
  const text = readPage(page);
  const named = [...text.matchAll(marker)].map((match) => match[1]!);
  expect(named.toSorted(), `${page}: the excerpts it has, and those that there are`).toEqual(Object.keys(excerpts).toSorted());
  const made = text.replaceAll(
    marker,
    (_, name: string, fence: string) => `<!-- excerpt: ${name} -->\n${fence}${excerpts[name]!.trimEnd()}\n\`\`\``,
  );
  checkPage(page, made);
}

/** The page is `made`, or becomes it. */
export function checkPage(page: string, made: string): void {
  if (process.env.DIT_UPDATE_DOCS === "1") writeFileSync(join(root, page), made);
  expect(readPage(page), `${page} is stale: run DIT_UPDATE_DOCS=1 npx vitest run --project cpu test/docs`).toBe(made);
}

/** The code block below the marker, for examples that are written by hand and tested. */
export function excerptOf(page: string, name: string): string {
  for (const match of readPage(page).matchAll(marker)) {
    if (match[1] === name) return match[0].split("\n").slice(2, -1).join("\n");
  }
  throw new Error(`${page} has no excerpt ${name}`);
}

/** Some nodes of a function as a function of their own: what they read from outside are its parameters, what is read of them its results. */
export function cut(fn: Fn, name: string, nodes: readonly Node[]): Fn {
  const made = new Set<Value>(nodes.flatMap((node) => node.outputs));
  const read = [...new Set(nodes.flatMap((node) => node.inputs))].filter((v) => !made.has(v));
  const inside = new Set(nodes);
  const wanted = new Set<Value>(fn.results.map((r) => r.value));
  for (const node of fn.nodes) if (!inside.has(node)) for (const v of node.inputs) wanted.add(v);
  // New values, so that the printer numbers only what is shown.
  const now = new Map<Value, Value>(read.map((v, i) => [v, { type: v.type, name: v.name ?? `x${i}` }]));
  const copies = nodes.map((node): Node => {
    const inputs = node.inputs.map((v) => now.get(v)!);
    const outputs = node.outputs.map((v) => ({ ...v }));
    node.outputs.forEach((v, k) => {
      now.set(v, outputs[k]!);
    });
    return { ...node, inputs, outputs };
  });
  const results = nodes.flatMap((node) => node.outputs).filter((v) => wanted.has(v));
  return {
    name,
    params: read.map((v) => ({ name: now.get(v)!.name!, kind: "input" as const, value: now.get(v)! })),
    nodes: copies,
    results: results.map((v, i) => ({ name: `y${i}`, value: now.get(v)! })),
  };
}
