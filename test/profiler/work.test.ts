// What dispatches have to do, held against what the graph says before fusion, and against counts by hand.
import { describe, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { trafficOf } from "../../src/ir/cost.js";
import { parseModule } from "../../src/ir/parse.js";
import { itemsOf, kernelRows, lineRows, rowOf } from "../../src/profiler/work.js";
import { model } from "../cli/capture.js";
import { tiny } from "../program/tiny.js";

test.each(["dit", "mlp", "vit"])("%s: the dispatches' multiply-adds are the graph's, in every entry", async (name) => {
  const { bundle, report } = await compile(model(name), { preset: "tiny", batch: 3 });
  for (const entry of bundle.program.entries) {
    const items = itemsOf(entry, 3);
    const { macs, dispatches } = report.entries.find((found) => found.name === entry.name)!;
    expect(
      items.reduce((sum, item) => sum + item.repeat * item.macs, 0),
      entry.name,
    ).toBe(macs);
    expect(rowOf(entry.name, "", items, {}).dispatches).toBe(dispatches);
    for (const item of items) expect(item.flops, item.label).toBeGreaterThanOrEqual(2 * item.macs);
  }
});

test("a training step reads and writes each weight's state where it is updated: p, m, v and the average twice, the gradient once", async () => {
  const { bundle } = await compile(model("dit"), { preset: "tiny", batch: 2, entries: ["train_step"] });
  const { entries, parameters } = bundle.program;
  const trained = parameters.filter((p) => p.trainable).reduce((n, p) => n + p.shape.reduce((a, b) => a * b, 1), 0);
  const updates = itemsOf(entries[0]!, 2).filter(({ label }) => / and \d+ more$/.test(label));
  expect(updates).not.toHaveLength(0);
  expect(updates.reduce((n, item) => n + item.writtenBytes, 0)).toBe(4 * 4 * trained);
  // The step's numbers are read besides, once a dispatch.
  const read = updates.reduce((n, item) => n + item.readBytes, 0) - 4 * 5 * trained;
  expect(read).toBeGreaterThan(0);
  expect(read).toBeLessThanOrEqual(64 * updates.length);
});

test("views narrow what is read; of a table the rows count that are asked for", () => {
  const module = parseModule(
    `module graph
fn @f(%x: input f32[batch: B, width: 12], %table: input f32[class: 100, width: 4], %y: input i32[batch: B], %unread: input f32[a: 5]) {
  %0 = slice(%x) {axis="width", from=0, to=4} : f32[batch: B, width: 4]
  %1 = slice(%x) {axis="width", from=8, to=12} : f32[batch: B, width: 4]
  %2 = gather(%table, %y) {axis="class"} : f32[batch: B, width: 4]
  %3 = add(%0, %1) : f32[batch: B, width: 4]
  %4 = add(%3, %2) : f32[batch: B, width: 4]
  return out=%4
}`,
  );
  expect(trafficOf(module.fns[0]!)).toEqual({ reads: [[0, 32], [0, 16], [0, 4], 0], writes: [[0, 16]] });
});

describe("rows", () => {
  const { program } = tiny();
  const roofline = { flopsPerSecond: 1e3, bytesPerSecond: 4e3 };
  const [axpb, count] = program.entries.map((entry) => itemsOf(entry, 2));

  test("say how long a roofline's machine takes at least, and why", () => {
    expect(lineRows(axpb!, { roofline })).toEqual([
      // 16 operations take 16 ms, 64 + 32 bytes take 24.
      { name: "tiny.ts:4", what: "add %y", dispatches: 1, flops: 16, bytes: 96, leastMs: 24, bound: "memory" },
      { name: "tiny.ts:3", what: "mul %ax", dispatches: 1, flops: 8, bytes: 80, leastMs: 20, bound: "memory" },
    ]);
    expect(rowOf("all", "", axpb!, { roofline: { flopsPerSecond: 100, bytesPerSecond: 4e3 } })).toEqual({
      ...{ name: "all", what: "", dispatches: 2, flops: 24, bytes: 176, leastMs: 240, bound: "arithmetic" },
    });
  });

  test("count repetitions, and put first what takes longest", () => {
    expect(kernelRows(program, count!, { ms: [2, 11] }, new Map([["copy", "plain"]]))).toEqual([
      { name: "copy", what: "plain", dispatches: 1, flops: 0, bytes: 32, ms: 11 },
      { name: "tick", what: "", dispatches: 5, flops: 45, bytes: 280, ms: 10 },
    ]);
  });

  test("without a place, a dispatch is a line by what it does", () => {
    const [item] = itemsOf(
      {
        ...program.entries[1]!,
        segments: [{ repeat: 1, dispatches: [{ ...program.entries[1]!.segments[1]!.dispatches[0]!, label: "copy m" }] }],
      },
      1,
    );
    expect(lineRows([item!], {})).toEqual([{ name: "(copy m)", what: "", dispatches: 1, flops: 0, bytes: 32 }]);
  });
});
