/**
 * The designs for matrix units at sizes that divide by nothing, held against the f64 reference; where the device has no such units, with
 * stand-ins for them (test/gpu/matrix-units.ts). test/null/matrix.test.ts has the texts as they are.
 */
import { describe, expect, test } from "vitest";
import { matmulChoices } from "../../src/codegen/kernels/matmul.js";
import { MATRICES } from "../../src/program/program.js";
import { type Case, compare, deviceHas, onDevice } from "../gpu/matmul-cases.js";
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

// SwiftShader has no f16.
describe.runIf(process.env.DIT_TEST_PROJECT !== "swiftshader")("with shader-f16", () => {
  test("every design for matrix units is forced", () => {
    expect(forced.map(([choice]) => choice)).toEqual(matmulChoices.flatMap(({ name, needs }) => (needs ? [name] : [])));
  });

  test.each(forced)("%s gives the reference's numbers", async (choice, cases) => {
    const changed = deviceHas(MATRICES) ? undefined : standingIn;
    for (const given of sample(choice, cases, 1)) {
      const [taken] = await compare(given, { choice, halves: true, changed });
      expect(taken, `${given}`).toBe(choice);
    }
  });
});
