/** docs/ops.md, written from the op table. */
import { test } from "vitest";
import { opTable } from "../../src/ir/ops/index.js";
import type { AnyOp } from "../../src/ir/ops/op.js";
import { checkPage } from "./generated.js";

const groups: readonly [title: string, kind: string, what: string][] = [
  [
    "Elementwise",
    "elementwise",
    "One element of the result from the elements at the same place. Operands have the same axes in the same order.",
  ],
  ["Views", "view", "The same memory read at other coordinates. They cost no kernel: whoever reads a view repeats it."],
  ["Indexed", "indexed", "They decide by the coordinate what to read or what to give, and fuse like elementwise ops."],
  ["Anchors", "anchor", "Each makes a kernel: one reduction or one contraction, with what fuse puts around it."],
];

const cell = (text: string): string => text.replaceAll("|", "\\|");

function row(op: AnyOp): string {
  const operands = op.operands === "variadic" ? "any number" : op.operands.join(", ");
  const attrs = Object.entries(op.attrs).map(([name, kind]) => `${name}: ${kind}`);
  const gradient = typeof op.vjp === "function" ? "yes" : `no: ${op.vjp.nondifferentiable}`;
  return `| \`${op.op}\` | ${operands} | ${attrs.join(", ")} | ${cell(op.doc)} | ${gradient} |`;
}

test("the page lists the op table", () => {
  const ops = [...opTable.values()];
  const sections = groups.flatMap(([title, kind, what]) => [
    `## ${title}`,
    "",
    what,
    "",
    "| op | operands | attributes | what it gives | gradient |",
    "| --- | --- | --- | --- | --- |",
    ...ops.filter((op) => op.fusion.kind === kind).map(row),
    "",
  ]);
  const page = [
    "# Ops",
    "",
    `The ${ops.length} ops of the graph, written by \`test/docs/ops.test.ts\` from the op table (\`src/ir/ops\`). Do not edit this page:`,
    "`DIT_UPDATE_DOCS=1 npx vitest run --project cpu test/docs` makes it again. Beside the table there are two special nodes, `region`",
    "and `gradient`; [ir.md](ir.md) explains them, and what attributes look like in the text.",
    "",
    ...sections,
  ];
  checkPage("docs/ops.md", `${page.join("\n").trimEnd()}\n`);
});
