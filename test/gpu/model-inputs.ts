/** Numbers for every weight, table and input of a compiled model's entry, and a run of the entry with them. No weight is zero. */
import type { Compiled } from "../../src/compile/compile.js";
import type { DenseInput } from "../../src/ir/eval.js";
import { evaluate as sizeAt } from "../../src/program/size.js";
import { createSession } from "../../src/runtime/session.js";
import { numbers } from "./numbers.js";

/** What a table, a weight or an input of this name holds; labels are below `classes`. */
export function inputsOf({ graph, bundle }: Compiled, entry: string, batch: number, classes = 4): Map<string, DenseInput> {
  const { program, constants } = bundle;
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
        if (p.value.type.dtype === "i32") {
          const number = (k: number): number => (p.name === "t" ? 331 * k + 17 : k % classes);
          return [p.name, { shape, data: Int32Array.from({ length: count }, (_, k) => number(k)) }];
        }
        const size = p.kind === "parameter" ? 0.2 : 1;
        return [p.name, { shape, data: numbers(count, 100 + i).map((x) => Math.fround(size * x)) }];
      }),
  );
}

export async function runEntry(
  { bundle }: Compiled,
  entry: string,
  values: ReadonlyMap<string, DenseInput>,
  device: GPUDevice,
  batch: number,
) {
  const session = await createSession(bundle, device, { batch, entries: [entry] });
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
