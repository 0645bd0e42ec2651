/** The CPU reference: what it needs, how it rounds, what it lets one see; and what a function costs. */
import { expect, test } from "vitest";
import { costOf } from "../../src/ir/cost.js";
import { type DenseInput, evaluate, type Precision } from "../../src/ir/eval.js";
import { parseModule } from "../../src/ir/parse.js";
import { printSize, evaluate as sizeAt } from "../../src/program/size.js";

const run = (text: string, inputs: Readonly<Record<string, DenseInput>>, precision: Precision = "f64", batch = 2) =>
  evaluate(parseModule(`module graph ${text}`), "f", new Map(Object.entries(inputs)), { batch, precision });

const doubled = "fn @f(%x: input f32[batch: B, c: 3]) { %y = add(%x, %x) : f32[batch: B, c: 3] return y=%y }";

test("the batch is chosen at the call", () => {
  const y = run(doubled, { x: { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] } }).get("y")!;
  expect(y.shape).toEqual([2, 3]);
  expect([...y.data]).toEqual([2, 4, 6, 8, 10, 12]);
});

test.each<[string, Record<string, DenseInput>, string]>([
  ["missing", {}, 'error DIT2202: @f: input "x" is missing, expected f32[batch: B, c: 3], that is [2, 3]'],
  [
    "of another shape",
    { x: { shape: [3, 2], data: [1, 2, 3, 4, 5, 6] } },
    'error DIT2203: @f: input "x" has shape [3, 2], expected f32[batch: B, c: 3], that is [2, 3]',
  ],
  [
    "too short",
    { x: { shape: [2, 3], data: [1] } },
    'error DIT2203: @f: input "x" has 1 numbers, expected f32[batch: B, c: 3], that is [2, 3]',
  ],
])("an input that is %s", (_what, inputs, message) => {
  expect(() => run(doubled, inputs)).toThrow(message);
});

test("an unknown function", () => {
  const call = () => evaluate(parseModule(`module graph ${doubled}`), "g", new Map(), { batch: 1, precision: "f64" });
  expect(call).toThrow("error DIT2201: there is no function @g\n  note: the module has @f");
});

test("a gradient that is still to be taken", () => {
  const text = "fn @f(%x: input f32[]) { %g = gradient(%x, %x) : f32[] return g=%g }";
  expect(() => run(text, { x: { shape: [], data: [1] } })).toThrow("differentiate comes first");
});

test("f32 rounds inputs and every result, f64 nothing", () => {
  const text = "fn @f(%x: input f32[]) { %y = exp(%x) : f32[] return x=%x, y=%y }";
  const x = { shape: [], data: [0.1] };
  expect(run(text, { x }, "f64").get("y")!.data[0]).toBe(Math.exp(0.1));
  expect(run(text, { x }, "f32").get("x")!.data[0]).toBe(Math.fround(0.1));
  expect(run(text, { x }, "f32").get("y")!.data[0]).toBe(Math.fround(Math.exp(Math.fround(0.1))));
});

test.each([
  [1 + 2 ** -11, 1], // a tie, to even
  [1 + 3 * 2 ** -11, 1 + 2 ** -9],
  [65519, 65504],
  [65520, Number.POSITIVE_INFINITY],
  [-(2 ** -24), -(2 ** -24)],
  [2 ** -25, 0],
  [0.1, 0.0999755859375],
])("%d as f16 is %d", (x, expected) => {
  const text = "fn @f(%x: input f32[]) { %y = cast(%x) {dtype=f16} : f16[] return y=%y }";
  expect(run(text, { x: { shape: [], data: [x] } }, "f32").get("y")!.data[0]).toBe(expected);
});

test("integers wrap at 32 bits", () => {
  const text = "fn @f(%x: input i32[n: 2]) { %y = square(%x) : i32[n: 2] return y=%y }";
  expect([...run(text, { x: { shape: [2], data: [65536, 50000] } }).get("y")!.data]).toEqual([0, -1794967296]);
});

test("a trace sees each node with its outputs, a region as one", () => {
  const module = parseModule(`module kernel
fn @f(%x: input f32[n: 2]) {
  %y = region(%x) {body=@region0, kind="map"} : f32[n: 2]
  %z = rename(%y) {axes=[m]} : f32[m: 2]
  return z=%z
}
fn @region0(%p: input f32[n: 2]) {
  %a = neg(%p) : f32[n: 2]
  %b = exp(%a) : f32[n: 2]
  return b=%b
}`);
  const seen: string[] = [];
  evaluate(module, "f", new Map([["x", { shape: [2], data: [0, 0] }]]), {
    batch: 1,
    precision: "f32",
    trace: (node, outputs) => seen.push(`${node.op}: ${outputs.map((o) => [...o.data].join(" ")).join(", ")}`),
  });
  expect(seen).toEqual(["region: 1 1", "rename: 1 1"]);
  // The region reads and writes 2 floats and computes 4 results; the alias moves nothing.
  expect(costOf(module, module.fns[0]!)).toEqual({ macs: 0, flops: 4, bytes: 16 });
});

test("the cost of a function is a polynomial of the batch", () => {
  const module = parseModule(`module graph
fn @f(%x: input f32[batch: B, in: 8], %w: parameter f32[out: 4, in: 8]) {
  %y = dot(%x, %w) {over=[in]} : f32[batch: B, out: 4]
  %z = mul(%y, %y) : f32[batch: B, out: 4]
  return z=%z
}`);
  const { macs, flops, bytes } = costOf(module, module.fns[0]!);
  expect([macs, flops, bytes].map(printSize)).toEqual(["32*B", "68*B", "80*B+128"]);
  expect(sizeAt(bytes, 2)).toBe(288);
});
