/**
 * Every op of the table on the GPU, from its row alone: each sample becomes a one-op module, is fused, lowered, run, and compared with the
 * f64 reference. The bound is what f32 rounding of that reference may do: a normalised error, not a tolerance per op.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Builder } from "../../src/ir/builder.js";
import { evaluate } from "../../src/ir/eval.js";
import type { Attrs, Module } from "../../src/ir/graph.js";
import { opTable } from "../../src/ir/ops/index.js";
import type { Sample } from "../../src/ir/ops/op.js";
import type { TensorType } from "../../src/ir/types.js";
import { fuse } from "../../src/passes/fuse/index.js";
import type { Bundle } from "../../src/program/program.js";
import { product, evaluate as sizeAt } from "../../src/program/size.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { bundleOf, runModule } from "./run-module.js";
import { whole } from "./sample.js";

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

/** Deterministic inputs in the sample's domain. */
function inputsOf(sample: Sample, seed: number): Map<string, { shape: number[]; data: Float64Array }> {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const domain = (i: number): readonly [number, number] => {
    const d = sample.domain ?? [-2, 2];
    return (typeof d[0] === "number" ? d : d[i]!) as readonly [number, number];
  };
  return new Map(
    sample.inputs.map((type: TensorType, i) => {
      const [low, high] = domain(i);
      const shape = type.shape.map((s) => sizeAt(s, 1));
      const data = Float64Array.from({ length: sizeAt(product(type.shape), 1) }, () => {
        const x = low + (high - low) * next();
        return type.dtype === "f32" ? Math.fround(x) : Math.floor(x);
      });
      return [`x${i}`, { shape, data }];
    }),
  );
}

function moduleOf(name: string, sample: Sample): Module {
  const b = new Builder();
  const inputs = sample.inputs.map((type, k) => b.param(`x${k}`, "input", type));
  const outputs = b.emit(name, inputs, (sample.attrs ?? {}) as Attrs);
  const results = outputs.map((value, k) => ({ name: `y${k}`, value }));
  return { stage: "graph", fns: [b.finish("main", results)] };
}

/** Samples with their places, all or those that have a kernel with subgroups. */
const samplesOf = (name: string, samples: readonly Sample[]) =>
  [...samples.entries()].filter(([, sample]) => whole || usesSubgroups(bundleOf(fuse.run(moduleOf(name, sample), {}))));
const usesSubgroups = ({ program }: Bundle) =>
  program.kernels.some(({ variants }) => variants.some(({ requires }) => requires.features?.includes("subgroups")));

const ops = [...opTable].flatMap(([name, row]) => {
  const samples = samplesOf(name, row.samples as readonly Sample[]);
  return samples.length > 0 ? [[name, samples] as const] : [];
});

test("all ops are here, or all with kernels of this subgroup width", () => {
  const names = ops.map(([name]) => name);
  const some = ["dot", "attention", "attention_grad_q", "attention_grad_kv", "normalize", "normalize_grad"];
  expect(names).toEqual(whole ? [...opTable.keys()] : some);
});

for (const [name, samples] of ops) {
  test(name, async () => {
    for (const [i, sample] of samples) {
      const module = moduleOf(name, sample);
      const values = inputsOf(sample, 7 + i);
      const expected = evaluate(module, "main", values, { batch: 1, precision: "f64" });
      for (const safe of whole ? [false, true] : [false]) {
        const got = await runModule(fuse.run(module, {}), values, dawn, { safe });
        for (const [result, { data }] of expected) {
          const scale = Math.max(1, ...data.map(Math.abs));
          const worst = Math.max(...data.map((e, k) => Math.abs(e - got[result]![k]!)));
          // exp, log and division are allowed a few units in the last place by WGSL; sums of n terms n/64 + 64 roundings.
          expect(worst / scale, `${name}, sample ${i}, ${result}${safe ? ", naive" : ""}`).toBeLessThan(4e-6);
        }
      }
    }
  });
}

test("four numbers of a row that data chooses, in a table whose rows begin anywhere", async () => {
  const b = new Builder();
  const table = { dtype: "f32", axes: ["class", "hidden"], shape: [5, 10] } as const;
  const index = { dtype: "i32", axes: ["batch"], shape: [6] } as const;
  const inputs = [b.param("x0", "input", table), b.param("x1", "input", index)];
  const [rows] = b.emit("gather", inputs, { axis: "class" });
  const [part] = b.emit("slice", [rows!], { axis: "hidden", from: 0, to: 8 });
  const [value] = b.emit("square", [part!], {});
  const module: Module = { stage: "graph", fns: [b.finish("main", [{ name: "y0", value: value! }])] };
  const values = inputsOf(
    {
      inputs: [table, index],
      domain: [
        [-2, 2],
        [0, 5],
      ],
    } as unknown as Sample,
    3,
  );
  const expected = evaluate(module, "main", values, { batch: 1, precision: "f64" }).get("y0")!.data;
  const got = await runModule(fuse.run(module, {}), values, dawn);
  expect(Array.from(got.y0!)).toEqual([...Float32Array.from(expected)]);
});
