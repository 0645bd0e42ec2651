/**
 * The designs for matrix units at sizes that divide by nothing, held against the f64 reference; where the device has no such units, with
 * stand-ins for them (test/gpu/matrix-units.ts). test/null/matrix.test.ts has the texts as they are.
 */
import { describe, expect, test } from "vitest";
import { matmulChoices } from "../../src/codegen/kernels/matmul.js";
import { compile } from "../../src/compile/compile.js";
import { MATRICES } from "../../src/program/program.js";
import { createSession } from "../../src/runtime/session.js";
import { golden } from "../golden.js";
import { lacksHalves } from "../gpu/halves.js";
import { type Case, compare, device, onDevice } from "../gpu/matmul-cases.js";
import { standingIn } from "../gpu/matrix-units.js";
import { sample } from "../gpu/sample.js";

onDevice();

const fours = [2, 68, 132, 144] as const;
/** Only what is stored in f16 need have a number of elements that divides by four. */
const odd = [1, 18, 50, 78] as const;

const forced: readonly (readonly [string, readonly Case[]])[] = [
  [
    "matrix-128x128",
    [
      ["nt", "bias and gelu", fours],
      ["nt", "plain", odd],
    ],
  ],
  [
    "matrix-64x64",
    [
      ["nn", "plain", odd],
      ["tn", "plain", odd],
      ["heads", "plain", fours],
      ["nt", "bias and gelu", [1, 258, 258, 30]],
      ["nn", "gate and residual", [3, 6, 50, 78]],
      ["turned", "plain", odd],
      ["tn", "sum of left", fours],
      ["tn", "sum of right", odd],
    ],
  ],
  [
    "matrix-64x64-k2",
    [
      ["nt", "plain", fours],
      ["tn", "sum of left", [3, 18, 50, 78]],
    ],
  ],
  [
    "matrix-32x32-k4",
    [
      ["nn", "gate and residual", fours],
      ["heads", "plain", odd],
    ],
  ],
  [
    "matrix-32x32-k8",
    [
      ["nt", "bias and gelu", fours],
      ["tn", "sum of right", fours],
      ["nn", "plain", [1, 2, 2, 2]],
    ],
  ],
];

const hasUnits = (): boolean => device().features.has(MATRICES as GPUFeatureName);

describe.runIf(!lacksHalves)("with shader-f16", () => {
  test("every design for matrix units is forced", () => {
    expect(forced.map(([choice]) => choice)).toEqual(matmulChoices.flatMap(({ name, needs }) => (needs ? [name] : [])));
  });

  // Emulated, each takes a driver long to compile.
  test.each(sample("matrix units", forced, 3))("%s gives the reference's numbers", async (choice, cases) => {
    const changed = hasUnits() ? undefined : standingIn;
    for (const given of sample(choice, cases, 1)) {
      const [taken] = await compare(given, { choice, halves: true, changed });
      expect(taken, `${given}`).toBe(choice);
    }
  });

  test("inside a model, between tensors of f16, where a tuning file says so", async () => {
    const options = {
      preset: "tiny",
      set: ["draws=inputs", "emaWarmup=off"],
      batch: 4,
      entries: ["forward"],
      dtype: "f16" as const,
    };
    const { bundle: usual } = await compile("models/dit.graph.ts", options);
    const dispatches = usual.program.entries[0]!.segments.flatMap((segment) => segment.dispatches);
    // Two of the products whose operands are both in f16 and that something follows.
    const keys = new Set(
      dispatches.flatMap(({ choiceKey }) => (/ f16 \+ .*(gelu|mul)/.test(choiceKey ?? "") ? [choiceKey!] : [])),
    );
    const tuning = new Map(sample("units in a model", [...keys], 2).map((key) => [key, "matrix-32x32-k4"]));
    expect(tuning.size).toBeGreaterThanOrEqual(2);
    const { bundle } = await compile("models/dit.graph.ts", { ...options, tuning });
    expect(bundle.program.profile.features).toEqual(["shader-f16"]);
    const session = await createSession(hasUnits() ? bundle : standingIn(bundle), device(), { batch: 4, entries: ["forward"] });
    // Of each of the two; both may share one kernel, sizes being numbers of a dispatch.
    const planned = bundle.program.entries[0]!.segments.flatMap((segment) => segment.dispatches);
    for (const key of tuning.keys()) {
      const kernels = planned
        .filter(({ choiceKey }) => choiceKey === key)
        .map(({ kernel }) => bundle.program.kernels[kernel]!.name);
      expect(kernels.length, key).toBeGreaterThan(0);
      for (const kernel of kernels)
        expect(session.variants, key).toContainEqual(expect.objectContaining({ kernel, variant: "matrix-32x32-k4" }));
    }
    const file = golden("model_adaln_zero");
    for (const [name, { data }] of file.weights()) await session.write(name, data as Float32Array);
    const inputs = { x: file.f32("forward/x"), t: file.i32("forward/t"), y: file.i32("forward/y") };
    const { out } = (await session.run("forward", inputs)) as { out: Float32Array };
    session.dispose();
    const exact = file.f32("forward/out");
    const largest = exact.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    const worst = exact.reduce((m, x, i) => Math.max(m, Math.abs(x - out[i]!)), 0);
    // As for every other design, in half.test.ts: the roundings of what is stored.
    expect(worst / largest).toBeLessThan(2 ** -9);
  });
});
