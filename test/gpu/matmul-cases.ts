/**
 * One table of products for every choice of matmul and the naive kernel: the operand forms of a layer and its gradients, sizes that divide
 * by nothing and sizes that lie in fours, what may follow a product, and the sums that ride on it. Each is one kernel, of the chosen
 * design, and is held against the f64 reference; the second run must give the bits of the first.
 */
import { afterAll, beforeAll, expect } from "vitest";
import { Builder } from "../../src/ir/builder.js";
import { evaluate } from "../../src/ir/eval.js";
import type { Module, Result, Value } from "../../src/ir/graph.js";
import { gelu } from "../../src/ir/ops/activations.js";
import { dot } from "../../src/ir/ops/contract.js";
import { add, mul } from "../../src/ir/ops/elementwise.js";
import { expandTo, rename, sum, transpose } from "../../src/ir/ops/shape.js";
import { tensorType } from "../../src/ir/types.js";
import { fuse } from "../../src/passes/fuse/index.js";
import { narrow } from "../../src/passes/narrow.js";
import type { Bundle } from "../../src/program/program.js";
import { B, evaluate as sizeAt } from "../../src/program/size.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { numbers } from "./numbers.js";
import { bundleOf } from "./run-module.js";
import { squared } from "./squared.js";

let dawn: DawnDevice;

/** Opens a device for the tests of a file. */
export function onDevice(): void {
  beforeAll(async () => {
    dawn = await requestDevice();
  });
  afterAll(() => dawn.dispose());
}

/** The device of these tests. */
export const device = (): GPUDevice => dawn.device;

/** Lanes of a subgroup, where they are always as many. */
export const subgroupWidth = (): number | undefined =>
  dawn.info.subgroupMinSize === dawn.info.subgroupMaxSize ? dawn.info.subgroupMinSize : undefined;

/**
 * x · W with W as [in, out] or [out, in]; dyᵀ · x; scores of heads that lie inside tokens, and of samples; a product that is stored
 * transposed; x · xᵀ and x · x.
 */
type Form = "nn" | "nt" | "tn" | "heads" | "samples" | "turned" | "gram" | "square";
type Ending = "plain" | "bias and gelu" | "gate and residual" | "sum of left" | "sum of right" | "squares" | "left added";
/** Batch, rows of each sample, columns, terms. */
type Sizes = readonly [batch: number, rows: number, columns: number, terms: number];
export type Case = readonly [Form, Ending, Sizes];

const odd: Sizes = [1, 17, 50, 77];
const fours: Sizes = [2, 68, 132, 144];
/** Where the two largest tiles end with the product, and check nothing. */
const whole: Sizes = [1, 128, 128, 128];
/** Where all rows of a tile are of one sample, and share its gate. */
const samples: Sizes = [3, 32, 52, 24];
const forms: readonly Form[] = ["nn", "nt", "tn", "heads"];
const plain = (sizes: Sizes): Case[] => forms.map((form) => [form, "plain", sizes]);
const oddOnes: readonly Case[] = [...plain(odd), ["nt", "plain", [1, 1, 1, 1]]];

/** The gradient of a weight ends in the middle of a step of four where samples are odd; few rows make a smaller tile. */
const quads: readonly Case[] = [
  ...plain(fours),
  ["nt", "plain", [1, 3, 20, 16]],
  ["nn", "plain", [1, 7, 36, 12]],
  ["tn", "plain", [1, 68, 132, 77]],
  ["tn", "plain", [1, 4, 4, 1]],
  ["nt", "bias and gelu", fours],
  ["nn", "gate and residual", fours],
  ["nn", "gate and residual", samples],
  ["tn", "sum of left", [3, 20, 52, 34]],
  ["tn", "squares", [1, 36, 20, 131]],
];

/**
 * What each design is forced on; a text is half a second of a driver's compiling. The subgroup form needs fours, and ends in two ways
 * only where something follows. All workgroup tiles are one text: what one does another need not.
 */
export const forced: readonly (readonly [string, readonly Case[]])[] = [
  [
    "subgroup-inline",
    [
      ["nt", "bias and gelu", fours],
      ["nn", "gate and residual", fours],
      ["tn", "squares", fours],
    ],
  ],
  [
    "subgroup-tail",
    [
      ...plain(fours),
      ["nt", "bias and gelu", fours],
      ["nn", "gate and residual", fours],
      ["nn", "gate and residual", samples],
      ["tn", "sum of left", fours],
      // Up to 16 columns, where quads divide K; and a K that does not divide.
      ["tn", "sum of left", [2, 68, 16, 20]],
      ["tn", "squares", [1, 20, 12, 24]],
      ["tn", "plain", [1, 36, 16, 18]],
      ["nt", "bias and gelu", [1, 42, 16, 24]],
      ["nn", "gate and residual", [2, 18, 12, 32]],
      // The last row of each head is odd, and behind it the next begins: who writes past it may come after who writes there.
      ["heads", "plain", [3, 31, 12, 24]],
      ["heads", "plain", [5, 31, 16, 8]],
      ["heads", "plain", [2, 77, 12, 24]],
      // One block of columns, and a second one with a single vector; a K that may be odd.
      ["nt", "bias and gelu", [1, 40, 32, 20]],
      ["nn", "plain", [2, 18, 36, 12]],
      ["tn", "sum of left", [1, 68, 132, 77]],
      // Rows that all start at the same place of a cache.
      ["nt", "bias and gelu", [1, 36, 68, 1024]],
    ],
  ],
  [
    "subgroup-panel",
    [
      ["nn", "plain", [1, 130, 68, 12]],
      ["nt", "bias and gelu", [2, 68, 132, 16]],
      ["nn", "gate and residual", [2, 68, 36, 20]],
      // A tile's rows are of one sample.
      ["nn", "gate and residual", [3, 128, 52, 32]],
      ["nt", "plain", [1, 3, 20, 4]],
      ["nt", "plain", [1, 70, 132, 36]],
      ["nt", "bias and gelu", [1, 200, 36, 64]],
      ["nn", "plain", [2, 100, 132, 64]],
    ],
  ],
  ["quad-16x16", quads],
  ["quad-32x32", quads],
  [
    "subgroup-single",
    [
      ...oddOnes,
      // Four million multiply-adds: the larger tile of subgroups of four.
      ["nt", "bias and gelu", [1, 130, 258, 125]],
      ["nn", "gate and residual", [3, 6, 50, 77]],
      ["turned", "plain", odd],
      ["tn", "sum of left", odd],
      ["tn", "sum of right", odd],
      ["tn", "squares", odd],
      ["tn", "squares", fours],
      ["samples", "plain", [3, 3, 50, 155]],
      ["tn", "sum of right", [1, 70, 131, 477]],
    ],
  ],
  [
    "workgroup-128x128",
    [
      ["nt", "bias and gelu", fours],
      ["tn", "sum of left", fours],
      ["tn", "sum of right", odd],
      ["tn", "squares", odd],
      ["nn", "plain", whole],
      ["tn", "sum of left", whole],
    ],
  ],
  [
    "workgroup-64x64",
    [
      ...oddOnes,
      ...plain(fours),
      ["nn", "plain", whole],
      ["tn", "sum of left", whole],
      ["nt", "bias and gelu", fours],
      ["nn", "gate and residual", [3, 6, 50, 77]],
      ["turned", "plain", odd],
      ["tn", "sum of left", odd],
      ["tn", "sum of right", fours],
    ],
  ],
  [
    "workgroup-64x64-k2",
    [
      ["nn", "plain", fours],
      ["tn", "sum of left", odd],
      ["tn", "squares", fours],
    ],
  ],
  [
    "workgroup-64x32-k4",
    [
      ["heads", "plain", fours],
      ["nt", "bias and gelu", [1, 258, 258, 30]],
      ["tn", "squares", odd],
    ],
  ],
  [
    "workgroup-32x32-k8",
    [
      ["nt", "bias and gelu", fours],
      ["nn", "gate and residual", fours],
      ["turned", "plain", odd],
      ["tn", "sum of left", fours],
      ["tn", "sum of right", odd],
      ["tn", "squares", fours],
    ],
  ],
  [
    "workgroup-32x16-k8",
    [
      ["tn", "squares", odd],
      ["nt", "bias and gelu", [1, 258, 258, 30]],
      ["nn", "gate and residual", fours],
      ["tn", "sum of right", fours],
    ],
  ],
  [
    "split-k-64x64",
    [
      ["tn", "sum of left", [3, 17, 50, 77]],
      ["tn", "sum of right", [4, 68, 132, 144]],
      ["nt", "bias and gelu", [1, 130, 258, 301]],
      ["nn", "gate and residual", [3, 6, 50, 177]],
      ["samples", "plain", [3, 17, 50, 155]],
      ["turned", "plain", [1, 17, 50, 177]],
    ],
  ],
  [
    "split-k-32x32",
    [
      ["tn", "sum of left", [5, 68, 132, 144]],
      ["tn", "sum of right", [7, 17, 50, 77]],
      ["nt", "bias and gelu", [2, 34, 68, 260]],
      ["nn", "gate and residual", [2, 68, 132, 516]],
      ["samples", "plain", [2, 36, 52, 388]],
      ["nt", "plain", [1, 1, 1, 4099]],
    ],
  ],
  [
    "register-4x4",
    [
      ...oddOnes,
      ["nt", "bias and gelu", [1, 258, 258, 30]],
      ["nn", "gate and residual", [3, 6, 50, 77]],
      ["turned", "plain", odd],
      ["tn", "sum of left", odd],
      ["tn", "sum of right", odd],
      ["tn", "squares", odd],
      ["tn", "squares", fours],
    ],
  ],
];

/** What reads a binding twice, which has one type. */
export const readTwice: readonly Case[] = [
  ["gram", "plain", [2, 68, 68, 36]],
  ["square", "plain", [2, 36, 36, 36]],
  ["nt", "left added", [2, 34, 68, 68]],
  ["nn", "left added", [2, 34, 68, 68]],
];

/** Few rows, or few columns, at the compile batch of 2, which is not the one they run at; the choice is left to the compiler. */
export const few: readonly Case[] = [
  ["nt", "bias and gelu", [2, 1, 132, 144]],
  ["nn", "gate and residual", [5, 8, 132, 144]],
  ["nn", "plain", [9, 1, 50, 77]],
  ["nt", "plain", [40, 2, 50, 77]],
  ["heads", "plain", [3, 3, 20, 68]],
  ["turned", "plain", [2, 1, 50, 77]],
  ["tn", "plain", [1, 50, 3, 77]],
  ["nn", "plain", [20, 17, 3, 144]],
];

/** `halves`: what is multiplied is made by a kernel of its own, exactly, so that it may be stored in f16. */
function moduleOf([form, ending, [, rows, columns, terms]]: Case, halves: boolean): Module {
  const b = new Builder();
  const made = (v: Value): Value => (halves ? add(b, v, v) : v);
  const input = (name: string, axes: string, ...shape: (number | typeof B)[]) =>
    b.param(name, "input", tensorType("f32", axes.split(" "), shape));
  let x: Value;
  let over = ["in"];
  let operands: [Value, Value];
  if (form === "heads") {
    operands = [
      made(input("a", "batch row head in", B, rows, 3, terms)),
      made(input("b", "batch column head in", B, columns, 3, terms)),
    ];
    const order = (name: string) => ({ axes: ["batch", "head", name, "in"] });
    x = dot(b, transpose(b, operands[0], order("row")), transpose(b, operands[1], order("column")), { over });
  } else if (form === "gram" || form === "square") {
    const a = input("a", "batch row in", B, rows, terms);
    operands = [a, rename(b, a, { axes: ["batch", ...(form === "gram" ? ["column", "in"] : ["in", "column"])] })];
    x = dot(b, ...operands, { over });
  } else if (form === "samples") {
    operands = [input("a", "batch row in", B, rows, terms), input("b", "batch column in", B, columns, terms)];
    x = dot(b, ...operands, { over });
  } else {
    if (form === "tn") {
      // The batch is contracted too, as in the gradient of a weight.
      over = ["batch", "in"];
      operands = [made(input("a", "batch in row", B, terms, rows)), made(input("b", "batch in column", B, terms, columns))];
    } else {
      const right = form === "nn" ? input("b", "in column", terms, columns) : input("b", "column in", columns, terms);
      operands = [made(input("a", "batch row in", B, rows, terms)), made(right)];
    }
    x = dot(b, ...operands, { over });
  }
  // What is stored transposed is read further: a plain transpose at the end is a copy of its own.
  if (form === "turned") {
    const residual = input("residual", "column batch row", columns, B, rows);
    x = add(b, transpose(b, x, { axes: ["column", "batch", "row"] }), residual);
  }
  const results: Result[] = [];
  if (ending === "bias and gelu") {
    const biased = add(b, x, expandTo(b, input("bias", "column", columns), x.type));
    results.push({ name: "biased", value: biased }, { name: "gelu", value: gelu(b, biased) });
  } else if (ending === "gate and residual") {
    const gated = mul(b, x, expandTo(b, input("gate", "batch column", B, columns), x.type));
    const moved = add(b, gated, expandTo(b, input("position", "row column", rows, columns), x.type));
    results.push({ name: "y", value: add(b, moved, input("residual", "batch row column", B, rows, columns)) });
  } else if (ending === "left added") {
    results.push({ name: "y", value: add(b, x, rename(b, operands[0], { axes: x.type.axes })) });
  } else {
    results.push({ name: "y", value: x });
    if (ending.startsWith("sum"))
      results.push({ name: "sum", value: sum(b, operands[ending === "sum of left" ? 0 : 1], { over }) });
  }
  return { stage: "graph", fns: [b.finish("main", results)] };
}

interface Given {
  readonly safe?: boolean;
  readonly choice?: string;
  readonly compiledFor?: number;
  /** What the device should take of the first kernel's variants. */
  readonly taken?: string | undefined;
  /** Operands stored in f16, and what is done to the bundle before it runs. */
  readonly halves?: boolean;
  readonly changed?: ((bundle: Bundle) => Bundle) | undefined;
}

/** The kernels' module of a case whose operands are stored in f16. */
export const inHalves = (given: Case): Module => narrow.run(fuse.run(moduleOf(given, true), {}), { narrow: true });

/** Runs a case twice; gives back the variants of its one product, or of the first kernel where another adds its parts. */
export async function compare(
  given: Case,
  { safe = false, choice, compiledFor, taken, halves = false, changed }: Given,
): Promise<readonly string[]> {
  const [form, ending, [batch, rows, columns, terms]] = given;
  const graph = moduleOf(given, halves);
  // Casts to f16 stand in the kernels' module alone.
  const module = halves ? inHalves(given) : graph;
  const values = new Map(
    graph.fns[0]!.params.map((p, i) => {
      const shape = p.value.type.shape.map((s) => sizeAt(s, batch));
      const count = shape.reduce((n, size) => n * size, 1);
      const data = numbers(count, 3 + i);
      // Twice as much is still exact in f16.
      return [p.name, { shape, data: halves ? data.map((x) => Math.round(x * 1024) / 1024) : data }];
    }),
  );
  const expected = evaluate(module, "main", values, { batch, precision: "f64" });
  const options = { batch: compiledFor ?? batch, safe, ...(choice === undefined ? {} : { choices: { matmul: choice } }) };
  const fused = halves ? module : fuse.run(module, {});
  const own = bundleOf(ending === "squares" ? squared(fused) : fused, options);
  const bundle = changed?.(own) ?? own;
  const products = bundle.program.kernels.filter(({ family }) => !halves || family === "matmul");
  expect(products, given.join()).toHaveLength(choice?.startsWith("split-k") ? 2 : 1);
  const session = await createSession(bundle, dawn.device, { batch });
  try {
    // A device that lists no matrix units would take another variant, whose numbers say nothing.
    if (halves) expect(session.variants.map(({ variant }) => variant)).toContain(products[0]!.variants[0]!.name);
    if (taken !== undefined) expect(session.variants[0]!.variant).toBe(taken);
    const inputs = Object.fromEntries([...values].map(([name, { data }]) => [name, Float32Array.from(data)]));
    const got = (await session.run("main", inputs)) as Record<string, Float32Array>;
    const again = (await session.run("main", inputs)) as Record<string, Float32Array>;
    for (const [name, { data }] of expected) {
      const scale = data.reduce((m, x) => Math.max(m, Math.abs(x)), 1);
      const worst = data.reduce((m, e, i) => Math.max(m, Math.abs(e - got[name]![i]!)), 0);
      // A sum of n terms rounds n times, each by 2⁻²⁴ of a partial sum at most; 64 more for what follows, as for any op.
      const roundings = (form === "tn" ? batch : 1) * terms + 64;
      const at = `${given.slice(0, 2).join(", ")}, ${batch} × ${rows} × ${columns} × ${terms}, ${name}`;
      expect(worst / scale, at).toBeLessThan(roundings * 2 ** -24);
      expect(again[name], `${at}, second run`).toEqual(got[name]);
    }
    if (ending === "squares") {
      const exact = got.y!.reduce((sum, x) => sum + x * x, 0);
      const found = got.squares!.reduce((sum, x) => sum + x, 0);
      // What is added up has one sign: no addition of the longest chain, the results of a thread and the threads, loses more than 2⁻²⁴.
      expect(Math.abs(found - exact), `squares of ${given}`).toBeLessThan((128 + 8) * 2 ** -24 * exact);
      expect(again.squares).toEqual(got.squares);
    }
  } finally {
    session.dispose();
  }
  return products[0]!.variants.map((v) => v.name);
}
