/**
 * What a transformer block becomes, in two models that write it in different words: every norm and every attention is raised, nothing of
 * their primitives is left, and a block costs no more dispatches than it should. A model's depth minus the next smaller one is a block.
 */
import { describe, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import type { Module } from "../../src/ir/graph.js";

/** Sizes at which weights lie side by side without gaps. */
const presets = { dit: "tiny", vit: "mnist" };

const stages = async (model: "dit" | "vit", depth: number) => {
  const seen = new Map<string, Module>();
  const { report } = await compile(`models/${model}.graph.ts`, {
    preset: presets[model],
    set: [`depth=${depth}`],
    entries: ["forward", "loss_and_grad"],
    verify: "each",
    after: (pass, module) => seen.set(pass, module),
  });
  const dispatches = Object.fromEntries(report.entries.map((e) => [e.name, e.dispatches]));
  return { forward: seen.get("dce")!.fns.find((f) => f.name === "forward")!, dispatches };
};

/** At most this many kernels a block: see the plan (`--emit plan`) for which. */
const most = {
  // Norm, qkv, attention, projection, norm, two of the MLP; backward, each linear twice, attention twice, each norm with and without its
  // gate, and the second stage of the modulation's sums. The modulations of all blocks are one product.
  dit: { forward: 7, loss_and_grad: 22 },
  // The same, with q, k and v as one product, and sums for two affine norms.
  vit: { forward: 7, loss_and_grad: 23 },
};

describe.each(["dit", "vit"] as const)("models/%s.graph.ts", (model) => {
  test("every norm and attention is found", { timeout: 120_000 }, async () => {
    const depth = 2;
    const { forward } = await stages(model, depth);
    const count = (op: string) => forward.nodes.filter((n) => n.op === op).length;
    expect({ attention: count("attention"), normalize: count("normalize") }).toEqual({
      attention: depth,
      normalize: 2 * depth + 1,
    });
    for (const op of ["exp", "max", "sqrt", "rsqrt", "square"]) expect(count(op), op).toBe(0);
  });

  test("dispatches of a block", { timeout: 120_000 }, async () => {
    const [one, two] = [await stages(model, 1), await stages(model, 2)];
    for (const [entry, limit] of Object.entries(most[model]))
      expect(two.dispatches[entry]! - one.dispatches[entry]!, entry).toBeLessThanOrEqual(limit);
  });
});
