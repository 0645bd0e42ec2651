/** The IR's text: what is written is read back, and what cannot be read is said with its place. */
import { describe, expect, test } from "vitest";
import { Builder } from "../../src/ir/builder.js";
import type { Module } from "../../src/ir/graph.js";
import { dot } from "../../src/ir/ops/contract.js";
import { add } from "../../src/ir/ops/elementwise.js";
import { fill } from "../../src/ir/ops/pointwise.js";
import { parseModule } from "../../src/ir/parse.js";
import { printModule, printNumber } from "../../src/ir/print.js";
import { sameModule } from "../../src/ir/same.js";
import { tensorType } from "../../src/ir/types.js";
import { B } from "../../src/program/size.js";

const example = `module graph

fn @forward(%x: input f32[batch: B, channel: 4], %w: parameter "head.0 weight" f32[out: 3, channel: 4]) {
  %q = dot(%x, %w) {over=[channel]} : f32[batch: B, out: 3]  // dit.graph.ts:41:12
  %0 = fill() {value=-0.5, type=f32[batch: B, out: 3]} : f32[batch: B, out: 3]
  %q.1 = add(%q, %0) : f32[batch: B, out: 3]
  return out=%q.1, "second result"=%0
}
`;

describe("text", () => {
  test("a module prints as its canonical text", () => {
    const b = new Builder();
    const x = b.param("x", "input", tensorType("f32", ["batch", "channel"], [B, 4]));
    const w = b.param("head.0 weight", "parameter", tensorType("f32", ["out", "channel"], [3, 4]));
    Object.assign(w, { name: "w" });
    b.loc = { file: "dit.graph.ts", line: 41, column: 12 };
    const q = dot(b, x, w, { over: ["channel"] });
    b.loc = undefined;
    const half = fill(b, { value: -0.5, type: q.type });
    const sum = add(b, q, half);
    b.hint(q, "q");
    b.hint(sum, "q");
    const module: Module = {
      stage: "graph",
      fns: [
        b.finish("forward", [
          { name: "out", value: sum },
          { name: "second result", value: half },
        ]),
      ],
    };
    expect(printModule(module)).toBe(example);
    expect(sameModule(parseModule(example), module)).toBe(true);
  });

  test("places can be left out", () => {
    expect(printModule(parseModule(example), { locs: false })).toBe(example.replace("  // dit.graph.ts:41:12", ""));
  });

  test("a module of kernels, with several outputs of a node", () => {
    const text = `module kernel

fn @main(%x: input f32[c: 4], %m: state f32[c: 4]) {
  %a, %m.1 = region(%x, %m) {body=@region0, kind="map"} : f32[c: 4], f32[c: 4]  // step.graph.ts:3:1
  %b = rename(%a) {axes=["odd name"]} : f32["odd name": 4]
  return m=%m.1, y=%b
}

fn @region0(%0: input "p0" f32[c: 4], %1: input "p1" f32[c: 4]) {
  %2 = add(%0, %1) : f32[c: 4]
  %3 = neg(%2) : f32[c: 4]
  return r0=%2, r1=%3
}
`;
    expect(printModule(parseModule(text))).toBe(text);
  });

  test("gradients, comments and spacing", () => {
    const text = `// what this is
module graph
fn @main(%x: input f32[a: 3]) { // not a place: 3
  %l = sum( %x ) { over = [ a ] } : f32[] // C:\\\\models\\\\dit.graph.ts:7:2
  %g = gradient(%l, %x) : f32[a: 3]
  return g = %g }`;
    const module = parseModule(text);
    expect(module.fns[0]!.nodes.map((n) => n.loc)).toEqual([
      { file: "C:\\\\models\\\\dit.graph.ts", line: 7, column: 2 },
      undefined,
    ]);
    expect(printModule(parseModule(printModule(module)))).toBe(printModule(module));
  });

  test("keywords are names too", () => {
    const text = `module graph

fn @fn(%return: input f32[module: 3, B: B]) {
  return fn=%return
}
`;
    expect(printModule(parseModule(text))).toBe(text);
  });

  test.each([
    [Number.NaN, "nan"],
    [Number.POSITIVE_INFINITY, "inf"],
    [Number.NEGATIVE_INFINITY, "-inf"],
    [-0, "-0"],
    [0.1, "0.1"],
    [1e-45, "1e-45"],
    [1e21, "1e+21"],
    [-123456789, "-123456789"],
  ])("the number %d prints as %s and reads back", (value, text) => {
    expect(printNumber(value)).toBe(text);
    const module = parseModule(`module graph fn @f() { %a = fill() {value=${text}, type=f32[]} : f32[] return a=%a }`);
    expect(Object.is(module.fns[0]!.nodes[0]!.attrs.value, value)).toBe(true);
  });

  test.each(["B", "2*B", "3*B^2-4", "B^2+B+1", "256"])("the size %s reads back", (size) => {
    const text = printModule(parseModule(`module graph fn @f(%x: input f32[n: ${size}]) { return x=%x }`));
    expect(text).toContain(`f32[n: ${size}]`);
  });

  test("equality sees attributes, places, order and the sign of zero", () => {
    const base = parseModule(example);
    expect(
      sameModule(
        base,
        parseModule(example.replace("%q.1 = add(%q, %0)", "%other = add(%q, %0)").replace("out=%q.1", "out=%other")),
      ),
    ).toBe(true);
    for (const [from, to] of [
      ["value=-0.5", "value=-0.25"],
      ["41:12", "41:13"],
      ["add(%q, %0)", "add(%0, %q)"],
      ["out=%q.1", "out=%q"],
      ["parameter", "constant"],
      ["@forward", "@backward"],
    ]) {
      expect(sameModule(base, parseModule(example.replace(from!, to!))), `${from} → ${to}`).toBe(false);
    }
  });
});

/** The errors of a function with these lines, without code frames. */
function errorsOf(...lines: string[]): string[] {
  const text = ["module graph", "fn @f(%x: input f32[a: 3], %y: input f32[b: 3]) {", ...lines, "}"].join("\n");
  return errorsOfText(text);
}

function errorsOfText(text: string): string[] {
  try {
    parseModule(text, "f.ir");
    return [];
  } catch (error) {
    return (error as Error).message.split("\n").filter((line) => /error|help|note/.test(line));
  }
}

describe("errors", () => {
  test.each<[string, string[], string[]]>([
    [
      "unknown op",
      ["%z = ad(%x, %x) : f32[a: 3]", "return z=%z"],
      ['f.ir:3:6: error DIT2103: there is no op "ad"', "  help: did you mean add?"],
    ],
    [
      "unknown value",
      ["return z=%xx"],
      ["f.ir:3:10: error DIT2104: %xx is not defined before this line", "  help: did you mean %x?"],
    ],
    ["defined twice", ["%x = neg(%x) : f32[a: 3]", "return"], ["f.ir:3:1: error DIT2105: %x is defined twice"]],
    [
      "wrong type",
      ["%z = neg(%x) : f32[a: 4]", "return"],
      ["f.ir:3:16: error DIT2108: neg gives f32[a: 3], but f32[a: 4] is written"],
    ],
    [
      "operands that do not fit",
      ["%z = add(%x, %y) : f32[a: 3]", "return"],
      [
        "f.ir:3:6: error DIT2107: add: operands differ: f32[a: 3] and f32[b: 3]",
        "  note: %x is f32[a: 3]",
        "  note: %y is f32[b: 3]",
      ],
    ],
    ["operand count", ["%z = add(%x) : f32[a: 3]", "return"], ["f.ir:3:6: error DIT2107: add takes 2 operands (x, y), found 1"]],
    ["types and values", ["%z = neg(%x) : f32[a: 3], f32[a: 3]", "return"], ["f.ir:3:1: error DIT2108: 1 values but 2 types"]],
    [
      "attribute missing",
      ["%z = sum(%x) : f32[]", "return"],
      ['f.ir:3:6: error DIT2106: sum needs the attribute "over", a list of names such as [token, hidden]'],
    ],
    [
      "attribute unknown",
      ["%z = sum(%x) {over=[a], ovre=[a]} : f32[]", "return"],
      ['f.ir:3:25: error DIT2106: sum has no attribute "ovre"', "  help: did you mean over?"],
    ],
    [
      "attribute of another kind",
      ['%z = sum(%x) {over="a"} : f32[]', "return"],
      ['f.ir:3:20: error DIT2106: attribute "over" is a list of names such as [token, hidden]'],
    ],
    [
      "dtype",
      ["%z = cast(%x) {dtype=f31} : f32[a: 3]", "return"],
      ['f.ir:3:22: error DIT2106: attribute "dtype" is a dtype: f32, f16, i32, u32, bool'],
    ],
    [
      "size",
      ["%z = neg(%x) : f32[a: 3*C]", "return"],
      ['f.ir:3:23: error DIT2109: "3*C" is no size: write a number or a polynomial of B such as 2*B'],
    ],
    ["axis twice", ["%z = neg(%x) : f32[a: 3, a: 3]", "return"], ['f.ir:3:26: error DIT2109: axis "a" stands twice in one type']],
    ["result twice", ["return z=%x, z=%y"], ['f.ir:1:8: error DIT2110: fn @f: two results are called "z"']],
  ])("%s", (_name, lines, expected) => {
    expect(errorsOf(...lines)).toEqual(expected);
  });

  test.each([
    ["module graf", 'f.ir:1:8: error DIT2109: there is no stage "graf": graph, kernel'],
    [
      "module graph\nfn @f(%x: inptu f32[]) { return }",
      'f.ir:2:11: error DIT2109: there is no kind of parameter "inptu": input, parameter, constant, state',
    ],
    [
      "module graph\nfn @f(%x: input f33[]) { return }",
      'f.ir:2:17: error DIT2109: there is no dtype "f33": f32, f16, i32, u32, bool',
    ],
    ["module graph\nfn @f($) { return }", 'f.ir:2:7: error DIT2101: unexpected "$"'],
    ["module graph\nfn @f() { return", 'f.ir:2:17: error DIT2102: expected "}", found the end'],
    ["module graph\nfn @f() { %a neg() : f32[] return }", 'f.ir:2:14: error DIT2102: expected "=", found "neg"'],
    ["module graph\nfin @f() { return }", 'f.ir:2:1: error DIT2102: expected "fn" or the end, found "fin"'],
  ])("%s", (text, expected) => {
    expect(errorsOfText(text)[0]).toBe(expected);
  });

  test("several mistakes in one run, in their order", () => {
    const found = errorsOf("%a = ngn(%x) : f32[a: 3]", "%b = neg(%u) : f32[a: 3]", "%c = neg(%u) : f32[a: 3]", "return");
    expect(found.filter((line) => line.includes("error")).map((line) => line.slice(0, 22))).toEqual([
      "f.ir:3:6: error DIT210",
      "f.ir:4:10: error DIT21",
    ]);
    expect(errorsOfText("module graph\nfn @f() { %a = neg( : f32[] return }\nfn @g( { return }").length).toBe(2);
  });

  test("a code frame shows the place", () => {
    expect(() => parseModule("module graph\nfn @f() {\n  return z=%y\n}\n")).toThrow(" 3 |   return z=%y\n   |            ^^");
  });
});
