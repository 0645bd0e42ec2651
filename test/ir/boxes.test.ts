/** Boxes of results, computed from what they depend on alone, are those that the whole evaluation gives: op by op, and in random modules. */
import { describe, expect, test } from "vitest";
import type { Box } from "../../src/ir/boxes.js";
import { concreteShape, type DenseInput, evaluate } from "../../src/ir/eval.js";
import { BoxEvaluator } from "../../src/ir/eval-box.js";
import type { Module } from "../../src/ir/graph.js";
import { opTable } from "../../src/ir/ops/index.js";
import type { Dense, Sample } from "../../src/ir/ops/op.js";
import { randomModule } from "../laws/random-module.js";
import { moduleOf } from "./op-modules.js";
import { randomOf, sampleInputs } from "./samples.js";

const within = ({ shape, data }: { shape: readonly number[]; data: ArrayLike<number> }, box: Box): Float64Array => {
  const out: number[] = [];
  const visit = (axis: number, at: number): void => {
    if (axis === shape.length) {
      out.push(data[at]!);
      return;
    }
    const { from, size } = box[axis]!;
    for (let i = from; i < from + size; i++) visit(axis + 1, at * shape[axis]! + i);
  };
  visit(0, 0);
  return Float64Array.from(out);
};

/** Single places, and boxes of any size. */
function boxesIn(shape: readonly number[], random: () => number, many: number): Box[] {
  return Array.from({ length: many }, (_, k) =>
    shape.map((size) => {
      const from = Math.floor(size * random());
      return { from, size: k % 2 === 0 ? 1 : 1 + Math.floor((size - from) * random()) };
    }),
  );
}

async function compare(module: Module, inputs: ReadonlyMap<string, DenseInput>, batch: number, seed: number): Promise<number> {
  const fn = module.fns[0]!;
  const random = randomOf(seed);
  const expected: ReadonlyMap<string, Dense> = evaluate(module, fn.name, inputs, { batch, precision: "f64" });
  let read = 0;
  const boxes = new BoxEvaluator(
    fn,
    async (param, box) => {
      const { name, value } = fn.params[param]!;
      const numbers = within({ shape: concreteShape(value.type, batch), data: inputs.get(name)!.data }, box);
      read += numbers.length;
      return numbers;
    },
    { batch, precision: "f64" },
  );
  for (const [result, { name }] of fn.results.entries()) {
    const whole = expected.get(name)!;
    for (const box of boxesIn(whole.shape, random, 12)) {
      const numbers = await boxes.result(result, box);
      const wanted = within(whole, box);
      expect(numbers.length).toBe(wanted.length);
      for (let i = 0; i < wanted.length; i++) {
        // Sums in the same order give the same bits; one of more numbers is cut into other blocks.
        const apart = Object.is(numbers[i], wanted[i]) ? 0 : Math.abs(numbers[i]! - wanted[i]!);
        expect(apart, `${name} ${JSON.stringify(box)}`).toBeLessThanOrEqual(1e-12 * (1 + Math.abs(wanted[i]!)));
      }
    }
  }
  return read;
}

// Parts of a sum of squares are said to hold any share of it, so none has a value of its own.
const rows = [...opTable.values()].filter(({ op }) => op !== "sum_of_squares");
describe.each(rows.map((row) => [row.op, row] as const))("%s", (_op, row) => {
  test.each(row.samples.map((sample, i) => [i, sample as Sample] as const))("sample %i", async (i, sample) => {
    await compare(moduleOf(row, sample), sampleInputs(sample, 100 + i), 1, i);
  });
});

test.each(Array.from({ length: 25 }, (_, i) => i + 1))("random module %i", async (seed) => {
  const { module, inputs, batch } = randomModule(seed);
  await compare(module, inputs, batch, seed);
});

test("one place of a product reads one row and one column", async () => {
  const row = opTable.get("dot")!;
  const t = (axes: string, ...shape: number[]) => ({ dtype: "f32", axes: axes.split(" "), shape }) as const;
  const sample = { inputs: [t("row in", 30, 50), t("out in", 40, 50)], attrs: { over: ["in"] } } as unknown as Sample;
  const module = moduleOf(row, sample);
  const inputs = sampleInputs(sample, 1);
  const reads: number[] = [];
  const boxes = new BoxEvaluator(
    module.fns[0]!,
    async (param, box) => {
      reads.push(box.reduce((n, { size }) => n * size, 1));
      return within({ shape: sample.inputs[param]!.shape as number[], data: inputs.get(`x${param}`)!.data }, box);
    },
    { batch: 1, precision: "f64" },
  );
  await boxes.result(0, [
    { from: 7, size: 1 },
    { from: 33, size: 1 },
  ]);
  expect(reads).toEqual([50, 50]);
});
