// biome-ignore-all lint/suspicious/noTemplateCurlyInString: some of the models have templates.
/** Model files with one mistake each, by what the mistake is. mistakes.test.ts compiles them; docs/mistakes.md shows what is said. */

/** A model whose `forward` is this; the body begins at line 8. Its language is `imports`. */
const forward = (body: string, imports = "linear", more: { config?: string; before?: string; rest?: string } = {}): string =>
  `import { defineModel, ${imports ? `${imports}, ` : ""}tensor } from "dit-compile";
${more.before ?? ""}
export default defineModel({
  name: "Small",
  config: ${more.config ?? "{ hidden: 6 }"},
  inputs: (c) => ({ x: tensor("batch token hidden", { token: 4, hidden: c.hidden }), y: tensor("batch", {}, "i32") }),
  forward: (c, { x, y }) => {
    ${body}
  },${more.rest ?? ""}
});
`;

/** A model for an objective. */
const trained = (
  objective: string,
  {
    config = "{ numClasses: 10, classDropoutProb: 0.1, learnSigma: false }",
    x = 'tensor("batch channel height width", { channel: 1, height: 4, width: 4 })',
    t = ', t: tensor("batch", {}, "i32")',
    y = ', y: tensor("batch", {}, "i32")',
    result = "{ out: x.mul(2) }",
  } = {},
): string => `import { defineModel, ${objective}, tensor } from "dit-compile";

export default defineModel({
  name: "Trained",
  config: ${config},
  inputs: () => ({ x: ${x}${t}${y} }),
  forward: (c, { x }) => (${result}),
  objective: ${objective},
});
`;

export const mistakes: Readonly<Record<string, string>> = {
  "an axis that a tensor does not have": forward('return { out: linear(x, "hiden", { out: 2 }, "fc") };'),
  "two tensors that do not broadcast": forward('return { out: x.add(x.rename({ token: "key" })) };', ""),
  "a method that does not exist": forward("return { out: x.gelu() };", ""),
  "a config key that does not exist": forward("return { out: x.mul(c.hiden) };", ""),
  "Math on a tensor": forward("return { out: Math.exp(x) };", ""),
  "arithmetic signs on tensors": forward("return { out: x * 2 };", ""),
  "a tensor of f16": forward('return { out: x.cast("f16").mul(2).cast("f32") };', ""),
  "arithmetic between dtypes": forward("return { out: x.add(y) };", ""),
  "a preset with a key that does not exist": forward("return { out: x };", "", { rest: "\n  presets: { S: { hiden: 4 } }," }),
  "an async forward": forward("return { out: x };", "").replace("forward: (c", "forward: async (c"),
  "a forward that returns nothing": forward("x.mul(2);", ""),
  "a forward that returns a number": forward("return { out: 3 };", ""),
  "a forward that returns the tensor itself": forward("return x;", ""),
  "a syntax error": forward("return { out: x.mul(2 };", ""),
  "an import of a file that is not there": forward("return { out: x };", "", { before: 'import { block } from "./block.js";' }),
  "an import of a package that is not there": forward("return { out: x };", "", { before: 'import three from "three-axes";' }),
  "a package that types do not see and that is not there": forward("return { out: x };", "", {
    before: 'declare const require: (name: string) => unknown; require("three-axes");',
  }),
  "a name that the language does not export": forward("return { out: relu(x) };", "relu"),
  "sizes that differ along an axis": forward(
    'const w = param("w", "hidden", { hidden: 7 }, init.zeros);\n    return { out: x.mul(w) };',
    "init, param",
  ),
  "a contraction of sizes that differ": forward(
    'const w = param("w", "hidden out", { hidden: 7, out: 2 }, init.zeros);\n    return { out: dot(x, w, "hidden") };',
    "dot, init, param",
  ),
  "a split that does not divide": forward('return { out: x.split("hidden", "head width", { head: 4 }) };', ""),
  "a split whose sizes do not multiply": forward('return { out: x.split("hidden", "head width", { head: 4, width: 2 }) };', ""),
  "a slice beyond the end": forward('return { out: x.slice("token", 2, 9) };', ""),
  "an index beyond the end": forward('return { out: x.select("token", 4) };', ""),
  "another number of parts": forward('const [a, b] = x.unbind("token", 2);\n    return { out: a.add(b) };', ""),
  "the size of the batch": forward('return { out: x.mul(1 / x.size("batch")) };', ""),
  "a parameter of two shapes": forward(
    'return { out: linear(linear(x, "hidden", { mlp: 8 }, "fc"), "mlp", { hidden: 6 }, "fc") };',
  ),
  "a parameter of two starts": forward(
    'const w = (start: Init) => param("w", "hidden", { hidden: 6 }, start);\n    return { out: x.mul(w(init.zeros)).mul(w(init.ones)) };',
    "type Init, init, param",
  ),
  "a name of an input that is a parameter's, too": forward(
    'return { out: x.mul(param("x", "hidden", { hidden: 6 }, init.ones)) };',
    "init, param",
  ),
  "a parameter outside of forward": forward("return { out: x.mul(w) };", "init, param", {
    before: 'const w = param("w", "hidden", { hidden: 6 }, init.ones);',
  }),
  "a tensor kept from another graph": forward("kept ??= x;\n    return { out: kept.mul(2) };", "type Tensor, supervised", {
    before: 'let kept: Tensor<"batch token hidden"> | undefined;',
    rest: "\n  objective: { config: {}, entries: (m) => [1, 2].map((n) => ({ name: `e${n}`, build: () => m.forward(m.declare()) })) },",
  }),
  "a size that is no whole number": forward('return { out: linear(x, "hidden", { out: c.hidden / 4 }, "fc") };'),
  "a table of another length": forward(
    'return { out: x.mul(table("t", "hidden", { hidden: 6 }, new Float64Array(5))) };',
    "table",
  ),
  "a fraction in an integer tensor": forward("return { out: y.add(0.5) };", ""),
  "an exception of its own": forward('throw new RangeError("hidden is too small");', ""),
  "recursion without end": forward("return { out: deeper(x) };", "type Tensor", {
    before: 'const deeper = (t: Tensor<"batch token hidden">): Tensor<"batch token hidden"> => deeper(t.mul(2));',
  }),
  "a loop without end": forward("let z = x;\n    for (;;) z = z.mul(2);\n    return { out: z };", ""),
  "a forward that returns undefined behind a cast": forward("return undefined as never;", ""),
  "a result that is no tensor, behind a cast": forward("return { out: 3 as never };", ""),
  "a promise behind a cast": forward("return Promise.resolve({ out: x }) as never;", ""),
  "an operand that is no tensor, behind a cast": forward('return { out: x.add("1" as never) };', ""),
  "no results": forward("return {};", ""),
  "no default export": 'import { tensor } from "dit-compile";\nexport const model = tensor("batch", {});\n',
  "a default export that is no model": 'export default { name: "Small", config: {} };\n',
  "a default preset that does not exist": forward("return { out: x };", "", {
    rest: '\n  presets: { S: { hidden: 4 } },\n  defaultPreset: "M",',
  }),
  "a config key of the objective": trained("supervised", {
    config: "{ learningRate: 1 }",
    x: 'tensor("batch class", { class: 4 })',
    t: "",
    y: "",
  }),
  "a check that says no": forward("return { out: x };", "", {
    rest: "\n  check: (c) => (c.hidden % 4 === 0 ? undefined : `hidden ${c.hidden} is no multiple of 4`),",
  }),
  "an axis written twice": forward("return { out: x };", "").replace('"batch token hidden", {', '"batch token token", {'),
  "an axis without a size": forward("return { out: x };", "").replace("{ token: 4, hidden", "{ hidden"),
  "labels of another dtype": trained("supervised", {
    x: 'tensor("batch class", { class: 4 })',
    t: "",
    y: ', y: tensor("batch", {})',
  }),
  "no result named out": trained("supervised", {
    x: 'tensor("batch class", { class: 4 })',
    t: "",
    y: "",
    result: "{ logits: x }",
  }),
  "logits of other axes": trained("supervised", { x: 'tensor("batch pixel", { pixel: 4 })', t: "", y: "" }),
  "diffusion of a model without x": trained("diffusion", { t: "", y: "" })
    .replace("{ x: tensor", "{ image: tensor")
    .replace("{ x }) => ({ out: x", "{ image }) => ({ out: image"),
  "diffusion of something that is no image": trained("diffusion", { x: 'tensor("batch token hidden", { token: 4, hidden: 4 })' }),
  "diffusion of a model without y": trained("diffusion", { y: "" }),
  "diffusion without numClasses": trained("diffusion", { config: "{ classDropoutProb: 0.1 }" }),
  "diffusion with an output of other sizes": trained("diffusion", { result: '{ out: x.slice("height", 0, 2) }' }),
  "diffusion without out": trained("diffusion", { result: "{ eps: x }" }),
};
