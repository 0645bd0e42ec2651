/**
 * Fusion changes no result: each model's forward, loss and gradients, fused and with one op a kernel in the naive form, against the f64
 * reference of the graph as it was traced and against each other, as far as f32 can tell (test/strays.ts). No weight is zero here: a fresh
 * model's zero gates would hide what stands behind them.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Compiled, compile } from "../../src/compile/compile.js";
import type { DenseInput } from "../../src/ir/eval.js";
import type { Module } from "../../src/ir/graph.js";
import { differentiate } from "../../src/passes/differentiate.js";
import { evaluate as sizeAt } from "../../src/program/size.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { numbers } from "../gpu/numbers.js";
import { distance, strays } from "../strays.js";

const batch = 1;
let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

/** What a table, a weight or an input of this name holds. */
function inputsOf(graph: Module, entry: string, { program, constants }: Compiled["bundle"]): Map<string, DenseInput> {
  return new Map(
    graph.fns
      .find((f) => f.name === entry)!
      .params.map((p, i): [string, DenseInput] => {
        const shape = p.value.type.shape.map((s) => sizeAt(s, batch));
        const count = shape.reduce((a, n) => a * n, 1);
        const table = program.constants.find((c) => c.name === p.name);
        if (p.kind === "constant") {
          const bytes = constants.slice(table!.offset, table!.offset + 4 * count).buffer;
          return [p.name, { shape, data: table!.dtype === "i32" ? new Int32Array(bytes) : new Float32Array(bytes) }];
        }
        if (p.value.type.dtype === "i32")
          return [p.name, { shape, data: Int32Array.from({ length: count }, (_, k) => (p.name === "t" ? 331 * k + 17 : k % 4)) }];
        const size = p.kind === "parameter" ? 0.2 : 1;
        return [p.name, { shape, data: numbers(count, 100 + i).map((x) => Math.fround(size * x)) }];
      }),
  );
}

async function run({ bundle }: Compiled, entry: string, values: ReadonlyMap<string, DenseInput>) {
  const session = await createSession(bundle, dawn.device, { batch, entries: [entry] });
  try {
    const typed = (name: string, dtype: string) =>
      dtype === "f32" ? Float32Array.from(values.get(name)!.data) : Int32Array.from(values.get(name)!.data);
    const { inputs } = bundle.program.entries.find((e) => e.name === entry)!;
    for (const { name, dtype, kind } of inputs) if (kind === "parameter") await session.write(name, typed(name, dtype));
    return await session.run(
      entry,
      Object.fromEntries(inputs.flatMap(({ name, dtype, kind }) => (kind === "input" ? [[name, typed(name, dtype)]] : []))),
    );
  } finally {
    session.dispose();
  }
}

test.each(["dit", "mlp", "vit"])("models/%s.graph.ts", async (name) => {
  const entries = ["forward", "loss_and_grad"];
  const options = { preset: "tiny", batch, entries };
  const fused = await compile(`models/${name}.graph.ts`, options);
  const plain = await compile(`models/${name}.graph.ts`, { ...options, fused: false, safe: true });
  const reference = differentiate.run(fused.graph, {});
  for (const [i, entry] of entries.entries()) {
    const dispatches = ({ report }: Compiled) => report.entries[i]!.dispatches;
    expect(dispatches(fused)).toBeLessThan(dispatches(plain));

    const values = inputsOf(fused.graph, entry, fused.bundle);
    const expected = strays(reference, entry, values, batch);
    const [got, other] = [await run(fused, entry, values), await run(plain, entry, values)];
    expect(Object.keys(got).sort()).toEqual([...expected.keys()].sort());
    for (const [result, { exact, bound }] of expected) {
      const what = `${entry}, ${result}`;
      expect(distance(got[result]!, exact.data), `${what}, fused`).toBeLessThanOrEqual(bound);
      expect(distance(other[result]!, exact.data), `${what}, one op a kernel`).toBeLessThanOrEqual(bound);
      expect(distance(got[result]!, other[result]!), `${what}, fused beside one op a kernel`).toBeLessThanOrEqual(bound);
    }
  }
});
