/**
 * What is done to a dot's result before it is stored, in every form of `test/passes/cases/fuse/epilogue-*.ir`: broadcast operands in each
 * place of each op, second readers, dGELU, gate and residual. One kernel a dot, and on an adapter the numbers of the f64 reference.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Module } from "../../src/ir/graph.js";
import { parseModule } from "../../src/ir/parse.js";
import { fuse } from "../../src/passes/fuse/index.js";
import { evaluate as sizeAt } from "../../src/program/size.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession, type Session } from "../../src/runtime/session.js";
import { numbers } from "../gpu/numbers.js";
import { bundleOf } from "../gpu/run-module.js";
import { distance, strays } from "../strays.js";

const batch = 3;
const root = join(import.meta.dirname, "../passes/cases/fuse");

/** All cases in one module, so that kernels are made together; functions are called by case and name, what they read is handed in. */
const module: Module = {
  stage: "graph",
  fns: readdirSync(root)
    .filter((name) => name.startsWith("epilogue-"))
    .flatMap((file) => {
      const text = readFileSync(join(root, file), "utf8").split("// ----\n")[0]!;
      return parseModule(text, file).fns.map((fn) => ({
        ...fn,
        name: `${file.slice("epilogue-".length, -".ir".length)} ${fn.name}`,
        params: fn.params.map((p) => ({ ...p, kind: "input" as const })),
      }));
    }),
};
const fused = fuse.run(module, {});

let dawn: DawnDevice;
let session: Session;
beforeAll(async () => {
  dawn = await requestDevice();
  session = await createSession(bundleOf(fused, { batch }), dawn.device, { batch });
});
afterAll(() => {
  session.dispose();
  dawn.dispose();
});

describe(`${module.fns.length} epilogues`, () => {
  test.each(module.fns.map((fn) => [fn.name, fn] as const))("%s", async (name, fn) => {
    const regions = fused.fns.find((f) => f.name === name)!.nodes;
    expect(regions.map((n) => n.attrs.kind)).toEqual(fn.nodes.filter((n) => n.op === "dot").map(() => "dot"));

    const values = new Map(
      fn.params.map((p, i) => {
        const shape = p.value.type.shape.map((s) => sizeAt(s, batch));
        // Away from zero, which some of them divide by.
        const data = numbers(
          shape.reduce((a, n) => a * n, 1),
          20 + i,
        ).map((x) => Math.fround(x + 1.5 * Math.sign(x)));
        return [p.name, { shape, data }];
      }),
    );
    const inputs = Object.fromEntries([...values].map(([key, { data }]) => [key, Float32Array.from(data)]));
    const got = await session.run(name, inputs);
    for (const [result, { exact, bound }] of strays(module, name, values, batch))
      expect(distance(got[result]!, exact.data), result).toBeLessThanOrEqual(bound);
  });
});
