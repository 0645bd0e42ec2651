/** Which loads of what follows a product all rows of a tile share: text alone, nothing runs. */
import { expect, test } from "vitest";
import { Builder } from "../../src/ir/builder.js";
import { dot } from "../../src/ir/ops/contract.js";
import { add, mul } from "../../src/ir/ops/elementwise.js";
import { expandTo } from "../../src/ir/ops/shape.js";
import { tensorType } from "../../src/ir/types.js";
import { fuse } from "../../src/passes/fuse/index.js";
import { B } from "../../src/program/size.js";
import { bundleOf } from "../gpu/run-module.js";

/** Loads in the function of this name, of a product with a bias for each column, a gate for each sample, and what is added to each result. */
function loadsIn(name: string, rows: number): number {
  const b = new Builder();
  const input = (called: string, axes: string, ...shape: (number | typeof B)[]) =>
    b.param(called, "input", tensorType("f32", axes.split(" "), shape));
  const x = dot(b, input("x", "batch row in", B, rows, 48), input("w", "out in", 36, 48), { over: ["in"] });
  const biased = add(b, x, expandTo(b, input("bias", "out", 36), x.type));
  const gated = mul(b, biased, expandTo(b, input("gate", "batch out", B, 36), x.type));
  const value = add(b, gated, input("residual", "batch row out", B, rows, 36));
  const { wgsl } = bundleOf(fuse.run({ stage: "graph", fns: [b.finish("main", [{ name: "y", value }])] }, {}), { batch: 2 });
  const text = Object.entries(wgsl).find(([file]) => file.includes("subgroup-8"))![1];
  const body = new RegExp(`fn ${name}\\([^{]*\\{\\n([^]*?)\\n\\}`).exec(text)![1]!;
  return body.match(/= b\d+\[/g)!.length;
}

test.each([
  ["within a sample, a tile's rows share bias and gate", 64, 2],
  ["where a tile may hold rows of two samples they share the bias", 40, 1],
])("%s", (_, rows, shared) => {
  expect(loadsIn("rows_share", rows)).toBe(shared);
  expect(loadsIn("store_sharing", rows)).toBe(3 - shared);
});
