// Choices that not every program or target can have: one error says so, instead of another way without a word.
import { expect, test } from "vitest";
import { type CompileOptions, compile } from "../../src/compile/compile.js";
import { parseProfile } from "../../src/compile/profile.js";
import { MATRICES, webLimits } from "../../src/program/program.js";

const made = (options: CompileOptions) =>
  compile("models/dit.graph.ts", {
    preset: "tiny",
    set: ["depth=1"],
    entries: ["forward"],
    choices: { matmul: "matrix-64x64" },
    ...options,
  });
const profile = (features: string[]) => parseProfile({ features, limits: webLimits }, "gpu.json");

test.each<[string, CompileOptions]>([
  ["matmul=matrix-64x64 multiplies numbers of f16, and this program stores none", {}],
  [`matmul=matrix-64x64 needs ${MATRICES}, which the target "minimum" lacks`, { dtype: "f16", target: "minimum" }],
  [`matmul=matrix-64x64 needs ${MATRICES}, which the target "gpu" lacks`, { dtype: "f16", target: profile(["shader-f16"]) }],
])("%s", (message, options) => expect(made(options)).rejects.toThrow(`error DIT1304: ${message}\n  help: compile with`));

test("a program whose products are chosen to run on matrix units asks for them", async () => {
  const { program } = (await made({ dtype: "f16" })).bundle;
  expect(program.profile.features).toEqual(["shader-f16", MATRICES]);
  const products = program.kernels.filter(({ family }) => family === "matmul");
  expect(products.filter(({ variants }) => variants[0]!.name === "matrix-64x64").length).toBeGreaterThan(4);
  const { program: own } = (await made({ dtype: "f16", target: profile(["shader-f16", MATRICES]) })).bundle;
  expect(own.profile.features).toEqual(["shader-f16", MATRICES]);
});

test("no other program has them", async () => {
  const { program } = (await made({ dtype: "f16", choices: {} })).bundle;
  expect(program.profile.features).toEqual(["shader-f16"]);
  expect(program.kernels.flatMap(({ variants }) => variants.filter(({ requires }) => requires.matrix))).toEqual([]);
});
