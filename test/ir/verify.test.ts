/** Every rule of the verifier, broken once: the function, the node and the rule stand in the message. */
import { expect, test } from "vitest";
import type { Attrs, Fn, Module, Node, Value } from "../../src/ir/graph.js";
import { parseModule } from "../../src/ir/parse.js";
import { type DType, tensorType } from "../../src/ir/types.js";
import { problemOf, verify } from "../../src/ir/verify.js";

const f32 = (size: number, name?: string, dtype: DType = "f32"): Value => ({
  type: tensorType(dtype, ["a"], [size]),
  ...(name ? { name } : {}),
});
const scalar: Value = { type: tensorType("f32", [], []), name: "s" };
const x = f32(3, "x");
const y = f32(3, "y");
const z = f32(3, "z");
const node = (op: string, inputs: readonly Value[], outputs: readonly Value[], attrs: Attrs = {}): Node => ({
  op,
  inputs,
  outputs,
  attrs,
});
const fnOf = (nodes: readonly Node[], more: Partial<Fn> = {}): Fn => ({
  name: "main",
  params: [{ name: "x", kind: "input", value: x }],
  nodes,
  results: [],
  ...more,
});
const graph = (...fns: Fn[]): Module => ({ stage: "graph", fns });
const one = (n: Node): Module => graph(fnOf([n]));

/** A body @region0 of one parameter. */
const body = (nodes = "%q = neg(%p) : f32[a: 3]"): Fn =>
  parseModule(`module graph fn @region0(%p: input f32[a: 3]) { ${nodes} return q=%q }`).fns[0]!;
const half: Value = { type: tensorType("f16", ["a"], [4]) };
const kernels = (...fns: Fn[]): Module => ({ stage: "kernel", fns });
const regionCall = (attrs: Attrs, inputs: readonly Value[] = [x], outputs: readonly Value[] = [y]): Module =>
  kernels(body(), fnOf([node("region", inputs, outputs, attrs)]));
const withBody = (nodes: string, kind: string): Module =>
  kernels(body(nodes), fnOf([node("region", [x], [y], { body: "region0", kind })]));

test.each<[string, Module, string]>([
  ["function names", graph(fnOf([]), fnOf([])), "two functions are called @main"],
  [
    "parameter names",
    graph(
      fnOf([], {
        params: [
          { name: "x", kind: "input", value: x },
          { name: "x", kind: "input", value: y },
        ],
      }),
    ),
    'fn @main: two parameters are called "x"',
  ],
  [
    "parameter values",
    graph(
      fnOf([], {
        params: [
          { name: "x", kind: "input", value: x },
          { name: "y", kind: "input", value: x },
        ],
      }),
    ),
    'fn @main: parameter "y" shares its value with another',
  ],
  [
    "types",
    graph(fnOf([], { params: [{ name: "x", kind: "input", value: { type: tensorType("f32", ["a", "a"], [1, 2]) } }] })),
    'fn @main: parameter "x": axis "a" stands twice in f32[a: 1, a: 2]',
  ],
  [
    "sizes",
    graph(fnOf([], { params: [{ name: "x", kind: "input", value: { type: tensorType("f32", ["a"], [1.5]) } }] })),
    'fn @main: parameter "x": a size in f32[a: 1.5] is no whole number or polynomial of B',
  ],
  [
    "use before definition",
    one(node("add", [x, z], [y])),
    "fn @main: %y = add(%x, %?) : f32[a: 3]: operand 2 is not defined before it",
  ],
  [
    "definition twice",
    graph(fnOf([node("neg", [x], [y]), node("exp", [x], [y])])),
    "fn @main: %y = exp(%x) : f32[a: 3]: defines a value a second time",
  ],
  ["parameter overwritten", one(node("neg", [x], [x])), "fn @main: %x = neg(%x) : f32[a: 3]: defines a value a second time"],
  ["no outputs", one(node("neg", [x], [])), "has no outputs"],
  ["unknown op", one(node("negg", [x], [y])), 'fn @main: %y = negg(%x) : f32[a: 3]: there is no op "negg"'],
  ["operand count", one(node("add", [x], [y])), "fn @main: %y = add(%x) : f32[a: 3]: takes 2 operands (x, y), found 1"],
  ["attribute missing", one(node("sum", [x], [scalar])), 'fn @main: %s = sum(%x) : f32[]: attribute "over" is missing'],
  [
    "attribute too many",
    one(node("neg", [x], [y], { by: 2 })),
    'fn @main: %y = neg(%x) {by=2} : f32[a: 3]: has no attribute "by"',
  ],
  [
    "attribute kind",
    one(node("sum", [x], [scalar], { over: "a" })),
    'fn @main: %s = sum(%x) {over="a"} : f32[]: attribute "over" is not of kind names',
  ],
  ["whole numbers", one(node("pad", [x], [y], { axis: "a", before: 0.5, after: 0 })), 'attribute "before" is not of kind int'],
  ["dtype kind", one(node("cast", [x], [y], { dtype: "f64" })), 'attribute "dtype" is not of kind dtype'],
  [
    "inference",
    one(node("sum", [x], [scalar], { over: ["b"] })),
    'fn @main: %s = sum(%x) {over=[b]} : f32[]: "b" is not an axis of f32[a: 3]',
  ],
  [
    "types as inferred",
    one(node("neg", [x], [f32(4, "y")])),
    "fn @main: %y = neg(%x) : f32[a: 4]: output 1 is f32[a: 4], the op gives f32[a: 3]",
  ],
  [
    "output count",
    one(node("neg", [x], [y, z])),
    "fn @main: %y, %z = neg(%x) : f32[a: 3], f32[a: 3]: has 2 outputs, the op gives 1",
  ],
  [
    "result names",
    graph(
      fnOf([], {
        results: [
          { name: "r", value: x },
          { name: "r", value: x },
        ],
      }),
    ),
    'fn @main: two results are called "r"',
  ],
  ["result values", graph(fnOf([], { results: [{ name: "r", value: y }] })), 'fn @main: result "r" is not defined'],
  [
    "states",
    graph(
      fnOf([node("sum", [x], [scalar], { over: ["a"] })], {
        params: [{ name: "m", kind: "state", value: x }],
        results: [{ name: "m", value: scalar }],
      }),
    ),
    'fn @main: result "m" is f32[], but the parameter it is the next value of is f32[a: 3]',
  ],
  ["gradient of a tensor", one(node("gradient", [x, x], [y])), "the loss is f32[a: 3], expected f32[]"],
  [
    "gradient types",
    graph(fnOf([node("sum", [x], [scalar], { over: ["a"] }), node("gradient", [scalar, x], [f32(4, "y")])])),
    "output 1 is f32[a: 4], there are values for f32[a: 3]",
  ],
  [
    "regions in the graph",
    one(node("region", [x], [y], { body: "region0", kind: "map" })),
    "a region may stand only in an entry function of the kernel stage",
  ],
  [
    "ops among kernels",
    kernels(fnOf([node("neg", [x], [y])])),
    '"neg" is no kernel: an entry function of the kernel stage has regions',
  ],
  ["gradients in a body", kernels(fnOf([node("gradient", [x], [y])], { name: "region9" })), 'there is no op "gradient"'],
  ["kind of a region", regionCall({ body: "region0", kind: "scan" }), 'unknown kind "scan": map, reduce, dot'],
  ["body of a region", regionCall({ body: "region7", kind: "map" }), "there is no function @region7"],
  [
    "body that is an entry",
    regionCall({ body: "main", kind: "map" }),
    '@main is an entry function; the name of a body starts with "region"',
  ],
  ["operands of a region", regionCall({ body: "region0", kind: "map" }, [x, x]), "@region0 takes 1 operands, found 2"],
  [
    "operand types of a region",
    kernels(
      body(),
      fnOf([node("region", [scalar], [y], { body: "region0", kind: "map" })], {
        params: [{ name: "s", kind: "input", value: scalar }],
      }),
    ),
    "operand 1 is f32[], but @region0 takes f32[a: 3]",
  ],
  [
    "results of a region",
    regionCall({ body: "region0", kind: "map" }, [x], [f32(4, "y")]),
    "output 1 is f32[a: 4], @region0 gives f32[a: 3]",
  ],
  ["result count of a region", regionCall({ body: "region0", kind: "map" }, [x], [y, z]), "has 2 outputs, @region0 gives 1"],
  [
    "f16 inside a kernel",
    withBody("%h = cast(%p) {dtype=f16} : f16[a: 3] %n = neg(%h) : f16[a: 3] %q = cast(%n) {dtype=f32} : f32[a: 3]", "map"),
    "computes in f16; f16 may only be what a body's operand is cast from, or its result cast to",
  ],
  [
    "a result that is f16",
    kernels(fnOf([], { params: [{ name: "x", kind: "parameter", value: half }], results: [{ name: "r", value: half }] })),
    'result "r" is f16; callers see f32',
  ],
  [
    "state that is f16",
    kernels(fnOf([], { params: [{ name: "m.w", kind: "state", value: half }] })),
    'state "m.w" is f16; only weights that nothing trains may be',
  ],
  [
    "a dot in a map",
    withBody("%q = dot(%p, %p) {over=[a]} : f32[]", "map"),
    "the body of a map has no dot and no op of its own family, @region0 has dot",
  ],
  [
    "no anchor in a reduce",
    withBody("%q = neg(%p) : f32[a: 3]", "reduce"),
    "the body of a reduce has exactly one anchor, @region0 has none",
  ],
  [
    "two dots in a dot",
    withBody("%r = dot(%p, %p) {over=[a]} : f32[] %q = dot(%p, %p) {over=[a]} : f32[]", "dot"),
    "the body of a dot has exactly one dot, @region0 has dot, dot",
  ],
])("%s", (_rule, module, expected) => {
  expect(problemOf(module)).toContain(expected);
});

test("the stage asked for is the module's", () => {
  expect(() => verify(graph(fnOf([])), "kernel")).toThrow("the module is at stage graph, expected kernel");
});

test("the error says when, and that it is our bug", () => {
  expect(() => verify(one(node("neg", [y], [z])), "graph", "after dce")).toThrow(
    /^after dce: fn @main: .*\nThis is a bug in dit-compile/,
  );
});

test("a legal module of kernels passes", () => {
  verify(regionCall({ body: "region0", kind: "map" }));
  verify(withBody("%r = sum(%p) {over=[a]} : f32[] %q = expand(%r) {axes=[a], sizes=[3]} : f32[a: 3]", "reduce"));
});
