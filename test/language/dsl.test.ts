/** What the language traces to, as IR text. Types are the type checker's part (accepted.ts); here sizes and nodes are looked at. */
import {
  concat,
  defineModel,
  dot,
  draw,
  embedding,
  fill,
  gather,
  gelu,
  init,
  input,
  iota,
  linear,
  max,
  mean,
  named,
  normalize,
  oneOf,
  param,
  scalar,
  softmax,
  sum,
  type Tensor,
  table,
  tensor,
  where,
} from "dit-compile";
import { describe, expect, test } from "vitest";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import { parseSettings } from "../../src/dsl/settings.js";
import { atSite } from "../../src/dsl/sites.js";
import { type Holds, type TraceOptions, trace } from "../../src/dsl/trace.js";
import { printFn } from "../../src/ir/print.js";

/** The body of the traced function, without its signature. */
function traced(build: () => Holds, options?: TraceOptions): string[] {
  const lines = printFn(trace("f", () => ({ out: build() }), options).fn, { locs: false }).split("\n");
  return lines.slice(1, -2).map((line) => line.trim());
}
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof DitError) return error.message;
    throw error;
  }
  return "accepted";
}
const refusedTrace = (build: () => Holds) => refusal(() => trace("f", () => ({ out: build() })));

const x = () => input("x", "batch token hidden", { token: 4, hidden: 6 });
const shift = () => input("shift", "batch hidden", { hidden: 6 });

describe("broadcast by name", () => {
  test("the smaller operand is expanded", () => {
    expect(traced(() => x().add(shift()))).toEqual([
      "%0 = expand(%shift) {axes=[batch, token, hidden], sizes=[B, 4, 6]} : f32[batch: B, token: 4, hidden: 6]",
      "%1 = add(%x, %0) : f32[batch: B, token: 4, hidden: 6]",
    ]);
  });
  test("on either side", () => {
    const lines = traced(() => shift().sub(x()));
    expect(lines.at(-1)).toBe("%1 = sub(%0, %x) : f32[batch: B, token: 4, hidden: 6]");
  });
  test("of equal sets the left order wins", () => {
    const turned = () => input("y", "hidden token batch", { token: 4, hidden: 6 });
    expect(traced(() => x().mul(turned()))[0]).toBe(
      "%0 = transpose(%y) {axes=[batch, token, hidden]} : f32[batch: B, token: 4, hidden: 6]",
    );
  });
  test("a number becomes a fill of the other's type", () => {
    const label = () => input("y", "batch", {}, "i32");
    expect(traced(() => label().lt(3))).toEqual([
      "%0 = fill() {value=3, type=i32[batch: B]} : i32[batch: B]",
      "%1 = lt(%y, %0) : bool[batch: B]",
    ]);
    expect(traced(() => label().ge(3)).at(-1)).toBe("%1 = le(%0, %y) : bool[batch: B]");
    expect(refusedTrace(() => label().add(0.5))).toContain("0.5 is no i32");
  });
  test("where takes numbers, and a condition of fewer axes", () => {
    const lines = traced(() => where(shift().gt(0), x(), 0));
    expect(lines.at(-1)).toMatch(/^%\d = where\(%\d, %x, %\d\) : f32\[batch: B, token: 4, hidden: 6\]$/);
  });
});

describe("shapes", () => {
  const qkv = () => input("qkv", "batch token qkv", { token: 4, qkv: 36 });
  test("split works one size out", () => {
    const parts = () => qkv().split("qkv", "three head width", { three: 3, head: 2 });
    expect(traced(parts)).toEqual([
      '%0 = split(%qkv) {axis="qkv", into=[three, head, width], sizes=[3, 2, 6]} : f32[batch: B, token: 4, three: 3, head: 2, width: 6]',
    ]);
    const sizes: Record<string, unknown> = {};
    trace("f", () => {
      Object.assign(sizes, parts().sizes, { counted: parts().size("width") });
      return { out: parts() };
    });
    expect(sizes).toEqual({ batch: [0, 1], token: 4, three: 3, head: 2, width: 6, counted: 6 });
  });
  test("select is a view: a slice of one, its axis dropped", () => {
    expect(traced(() => qkv().split("qkv", "three hidden", { three: 3 }).unbind("three", 3)[1])).toContain(
      '%4 = drop(%3) {axis="three"} : f32[batch: B, token: 4, hidden: 12]',
    );
    expect(traced(() => x().select("hidden", 5)).at(-1)).toContain('drop(%0) {axis="hidden"} : f32[batch: B, token: 4]');
  });
  test("what changes nothing is no node", () => {
    const same = () => x().transpose("batch token hidden").rename({ token: "token" }).pad("token", 0, 0).cast("f32");
    expect(traced(same)).toEqual([]);
  });
  test("merge, slice, reverse, pad, concat, rename, expand", () => {
    const lines = traced(() => {
      const part = x().slice("token", 1, 3).reverse("token").pad("token", 0, 2);
      const both = concat([x(), part], "token").merge("token hidden", "all").rename({ all: "pixel" });
      return both.expand("copy batch pixel", { copy: 2 });
    });
    expect(lines.map((line) => /= (\w+)\(/.exec(line)?.[1])).toEqual([
      ...["slice", "reverse", "pad", "concat"],
      ...["merge", "rename", "expand"],
    ]);
    expect(lines.at(-1)).toContain("f32[copy: 2, batch: B, pixel: 48]");
  });
});

describe("functions", () => {
  test("softmax takes the maximum off as a constant", () => {
    const ops = traced(() => softmax(x(), "hidden")).map((line) => /= (\w+)\(/.exec(line)?.[1]);
    expect(ops).toEqual(["max", "stop_gradient", "expand", "sub", "exp", "sum", "expand", "div"]);
  });
  test("normalize goes over x twice", () => {
    const ops = traced(() => normalize(x(), "hidden")).map((line) => /= (\w+)\(/.exec(line)?.[1]);
    expect(ops.filter((op) => op !== "fill" && op !== "expand")).toEqual([
      "sum",
      "mul",
      "sub",
      "square",
      "sum",
      "mul",
      "add",
      "rsqrt",
      "mul",
    ]);
  });
  test("the mean over the batch counts the batch", () => {
    expect(traced(() => mean(x(), "batch token hidden"))).toEqual([
      "%0 = sum(%x) {over=[batch, token, hidden]} : f32[]",
      "%1 = fill() {value=24, type=f32[batch: B]} : f32[batch: B]",
      "%2 = sum(%1) {over=[batch]} : f32[]",
      "%3 = div(%0, %2) : f32[]",
    ]);
  });
  test("linear: weight [out, in]; a square one renames its input", () => {
    const { fn, params } = trace("f", () => ({
      out: linear(linear(x(), "hidden", { mlp: 8 }, "fc1"), "mlp", { mlp: 8 }, "fc2"),
    }));
    expect(params.map((p) => `${p.name} ${p.type.axes.join(" ")} ${p.type.shape.join(" ")} ${p.init.rule}`)).toEqual([
      "fc1.weight mlp hidden 8 6 xavier_uniform",
      "fc1.bias mlp 8 zeros",
      "fc2.weight mlp mlp_in 8 8 xavier_uniform",
      "fc2.bias mlp 8 zeros",
    ]);
    expect(params[0]?.init).toEqual({ rule: "xavier_uniform", fanIn: 6, fanOut: 8 });
    expect(fn.params.map((p) => p.kind)).toEqual(["input", "parameter", "parameter", "parameter", "parameter"]);
    expect(fn.results[0]?.value.type.axes).toEqual(["batch", "token", "mlp"]);
  });
  test("embedding, gather, iota, table, fill, scalar, max, dot", () => {
    const lines = traced(() => {
      const y = input("y", "batch", {}, "i32");
      const row: Tensor<"batch hidden"> = embedding(y, "class hidden", { class: 5, hidden: 6 }, "labels");
      const numbers = table("half", "step hidden", { step: 2, hidden: 6 }, new Float64Array(12).fill(0.5));
      const at = gather(numbers, y, "step")
        .add(row)
        .add(max(row, "hidden"))
        .add(fill(1, "hidden", { hidden: 6 }))
        .add(scalar(2));
      return dot(at, iota("hidden", 6).cast("f32"), "hidden");
    });
    expect(lines[0]).toBe('%0 = gather(%labels.weight, %y) {axis="class"} : f32[batch: B, hidden: 6]');
    expect(lines.at(-1)).toMatch(/dot\(.*\) \{over=\[hidden\]\} : f32\[batch: B\]$/);
  });
  test("draws, generated or handed in", () => {
    const build = () => {
      const [seed, step, first] = [input("seed", "", {}, "u32"), input("step", "", {}, "i32"), input("first", "", {}, "i32")];
      const noise = draw.normal("draw.noise", "batch hidden", { hidden: 6 }, { seed, step, first });
      return where(draw.bernoulli("draw.drop", "batch", {}, 0.1, { seed, step, first }), 0, noise);
    };
    expect(traced(build)[0]).toContain(
      'draw(%seed, %step, %first, %draw.normal_table) {name="draw.noise", kind="normal", p=0, below=0, type=f32[batch: B, hidden: 6]}',
    );
    const given = trace("f", () => ({ out: build() }), { draws: "inputs" });
    expect(given.fn.params.map((p) => `${p.name} ${p.value.type.dtype}`)).toEqual([
      "seed u32",
      "step i32",
      "first i32",
      "draw.noise f32",
      "draw.drop i32",
    ]);
  });
  test("generic helpers", () => {
    const twice = <A extends string>(t: Tensor<A>): Tensor<A> => gelu(t.mul(2).add(t));
    expect(traced(() => twice(x())).at(-1)).toContain("f32[batch: B, token: 4, hidden: 6]");
  });
});

describe("declarations", () => {
  test("a parameter asked for twice is one", () => {
    const w = () => param("w", "hidden", { hidden: 6 }, init.normal(0.02));
    const { fn, params } = trace("f", () => ({ out: x().mul(w()).add(w()) }));
    expect(params).toHaveLength(1);
    expect(fn.params.map((p) => p.name)).toEqual(["x", "w"]);
  });
  test("with other axes, sizes or start it is a mistake", () => {
    const w = (size: number) => param("w", "hidden", { hidden: size }, init.zeros);
    expect(refusedTrace(() => w(6).add(sum(w(7), "hidden")))).toBe(
      `error DIT1204: "w" is declared twice, with different types\n  note: first as f32[hidden: 6]\n  note: now as f32[hidden: 7]\n  help: the same name is the same tensor: give one of the two another name`,
    );
    expect(refusedTrace(() => w(6).add(param("w", "hidden", { hidden: 6 }, init.ones)))).toContain("different initialisation");
  });
  test("tables have as many numbers as their axes say", () => {
    expect(refusedTrace(() => table("t", "a b", { a: 2, b: 3 }, new Float64Array(5)))).toContain(
      'table "t" has 5 numbers, its axes need 2 × 3 = 6',
    );
    expect(refusedTrace(() => fill(0, "a", { a: 1.5 }))).toContain('axis "a" of "a" has size 1.5, expected a whole number');
  });
  test("results carry their names", () => {
    const { fn } = trace("f", () => ({ y: x(), z: shift() }));
    expect(fn.results.map((r) => r.name)).toEqual(["y", "z"]);
  });
});

describe("sizes that do not fit", () => {
  const place = { file: "m.ts", line: 7, column: 3, text: "  x.add(y)", length: 1 };
  test("place, both shapes, help", () => {
    const other = () => input("y", "batch hidden", { hidden: 8 });
    expect(
      refusedTrace(() => atSite(place, () => x().add(other()))),
    ).toBe(`m.ts:7:3: error DIT2003: add: axis "hidden" is 6 in one operand and 8 in another
 7 |   x.add(y)
   |   ^
  note: x is f32[batch: B, token: 4, hidden: 6]
  note: y is f32[batch: B, hidden: 8]
  help: an axis has one size; give one of the two another name, or mend the size it was declared with`);
  });
  test("dot", () => {
    const other = () => input("w", "hidden out", { hidden: 8, out: 2 });
    const text = refusedTrace(() => atSite(place, () => dot(x(), other(), "hidden")));
    expect(text).toContain(`m.ts:7:3: error DIT2001: dot: axis "hidden" is 6 on the left and 8 on the right\n 7 |   x.add(y)`);
    expect(text).toContain("note: x is f32[batch: B, token: 4, hidden: 6]\n  note: w is f32[hidden: 8, out: 2]\n  help: ");
  });
  test("split", () => {
    expect(
      refusedTrace(() => x().split("hidden", "head width", { head: 4 })),
    ).toBe(`error DIT2006: split: axis "hidden" of size 6 does not divide by 4
  note: x is f32[batch: B, token: 4, hidden: 6]
  note: into head: 4, width: ?
  help: choose sizes whose product divides 6`);
    expect(refusedTrace(() => x().split("hidden", "head width", { head: 4, width: 2 }))).toContain(
      "does not split into head 4 × width 2 = 8",
    );
  });
  test("the batch has no size yet", () => {
    expect(refusedTrace(() => scalar(x().size("batch")))).toContain('axis "batch" has no fixed size: it is B');
    expect(refusedTrace(() => x().select("token", 4))).toContain('select: index 4 is outside axis "token" of size 4');
    expect(refusedTrace(() => x().unbind("token", 3)[0])).toContain('unbind: axis "token" has 4 places, not 3');
  });
});

describe("tracing", () => {
  test("outside of a graph", () => {
    expect(refusal(() => input("x", "batch", {}))).toContain('error DIT1201: input "x" was called while no graph is being built');
  });
  test("a trace that throws leaves nothing behind", () => {
    expect(() =>
      trace("f", () =>
        atSite({ file: "m.ts", line: 1, column: 1 }, () => {
          throw new Error("no");
        }),
      ),
    ).toThrow("no");
    expect(refusal(() => scalar(1))).toContain("error DIT1201");
    expect(refusal(() => scalar(1))).not.toContain("m.ts");
  });
  test("tensors do not cross graphs", () => {
    let kept: Tensor<"batch token hidden"> | undefined;
    trace("f", () => {
      kept = x();
      return { out: kept };
    });
    expect(refusedTrace(() => x().add(kept!))).toContain("was made for another graph");
    expect(refusal(() => trace("g", () => ({ out: kept! })))).toContain('g: result "out" is not a tensor of this graph');
  });
  test("axes claimed at run time are checked", () => {
    expect(traced(() => named(x(), "batch token hidden"))).toEqual([]);
    expect(refusedTrace(() => named(x(), "batch hidden"))).toContain(
      "expected f32 [batch hidden], found f32 [batch token hidden]",
    );
  });
});

describe("models", () => {
  const model = defineModel({
    name: "Tiny",
    config: { hidden: 8, depth: 2, bias: true, kind: oneOf("plain", "gated") },
    presets: { "Tiny/S": { hidden: 4 }, "Tiny/L": { hidden: 64, kind: "gated" } },
    defaultPreset: "Tiny/S",
    inputs: () => ({ x: tensor("batch pixel", { pixel: 4 }) }),
    forward: (c, inputs) => ({ out: linear(inputs.x, "pixel", { hidden: c.hidden }, c.kind, { bias: c.bias }) }),
    objective: { config: { learningRate: 1e-4 }, entries: () => [] },
  });

  test("defaults, preset, settings", () => {
    expect(parseSettings(model).config).toEqual({ hidden: 4, depth: 2, bias: true, kind: "plain", learningRate: 1e-4 });
    const { config } = parseSettings(model, "Tiny/L", ["depth=3", "bias=off", "learningRate=1e-3"]);
    expect(config).toEqual({ hidden: 64, depth: 3, bias: false, kind: "gated", learningRate: 1e-3 });
    const traced = model.configured(config);
    const { fn } = trace("forward", () => traced.forward(traced.declare()));
    expect(fn.params.map((p) => p.name)).toEqual(["x", "gated.weight"]);
  });
  test("mistakes, all at once", () => {
    expect(refusal(() => parseSettings(model, undefined, ["dept=3", "hidden=wide", "bias", "kind=odd"]))).toBe(
      [
        'error DIT1103: --set dept=3: Tiny has no setting "dept"\n  help: did you mean depth?',
        "error DIT1103: --set hidden=wide: hidden is a number, for example 8",
        "error DIT1103: --set bias: expected key=value",
        "error DIT1103: --set kind=odd: kind is one of plain, gated",
      ].join("\n\n"),
    );
    expect(refusal(() => parseSettings(model, "tiny/s"))).toBe(
      'error DIT1101: Tiny has no preset "tiny/s"\n  help: did you mean Tiny/S?',
    );
  });
});
