/**
 * attention and its two gradients: one thread a query (or a key), which goes along the keys (or the queries) tile by tile, a tile held in
 * workgroup memory. Scores live in registers only. Operands are read through whatever views stand before them, results stored in whatever
 * order of axes is asked for.
 */
import type { Node, Value } from "../../ir/graph.js";
import { attentionAxes } from "../../ir/ops/attention.js";
import { opRow } from "../../ir/ops/index.js";
import { literal } from "../../ir/ops/literal.js";
import { sizeOf } from "../../ir/types.js";
import { product, type Size } from "../../program/size.js";
import { Emitter, Words } from "../emitter.js";
import { type Affine, atom, plus, times, zero } from "../index-math.js";
import { type Family, fnText, kernelText, type LoweredVariant } from "../kernel.js";
import { decode, type Loop, mergeRuns, type Region, rowMajor, runs } from "../region.js";

const THREADS = 64;
/** Workgroup memory for a tile, and its most rows. */
const TILE_BYTES = 12288;
const MOST_ROWS = 32;
/** Vectors of a row up to which loops over it are unrolled, so that they stay in registers. */
const UNROLLED = 24;

const roles = ["batch", "query", "key", "over", "own"] as const;
type Role = (typeof roles)[number];

/** What a tensor of the op is read or written at: the axes of each coordinate. */
const places: Record<string, readonly Role[]> = {
  q: ["batch", "query", "over"],
  k: ["batch", "key", "over"],
  v: ["batch", "key", "own"],
  o: ["batch", "query", "own"],
  lse: ["batch", "query"],
  do: ["batch", "query", "own"],
  dq: ["batch", "query", "over"],
  dk: ["batch", "key", "over"],
  dv: ["batch", "key", "own"],
};

/** Operands, results and file of each op; `along`: what a thread is for, `tile`: what it goes along. */
const forms: Record<string, { outputs: readonly string[]; file: string; along: Role; tile: Role; a: string; b: string }> = {
  attention: { outputs: ["o", "lse"], file: "attention", along: "query", tile: "key", a: "k", b: "v" },
  attention_grad_q: { outputs: ["dq"], file: "attention-grad-q", along: "query", tile: "key", a: "k", b: "v" },
  attention_grad_kv: { outputs: ["dk", "dv"], file: "attention-grad-kv", along: "key", tile: "query", a: "q", b: "do" },
};

interface Plan {
  readonly op: Node;
  readonly words: Words;
  readonly size: Record<Role, Size>;
  readonly hooks: string;
}

/** Loads `load_x(batch, row, column)` of every operand and stores `store_x(…, value)` of every result. */
function planOf(region: Region): Plan | undefined {
  const op = region.body.nodes.find((n) => opRow(n.op).fusion.kind === "kernel");
  if (!op || !forms[op.op]) return undefined;
  const [q, k, v] = op.inputs as unknown as [Value, Value, Value];
  const names = attentionAxes(q.type.axes, k.type.axes, v.type.axes, {
    over: op.attrs.over as readonly string[],
    key: op.attrs.key as readonly string[],
  });
  const sizeOfAxis = (role: Role, name: string): Size =>
    sizeOf(role === "own" ? v.type : role === "key" ? k.type : q.type, name)!;
  // `over` and `own` may share names (width of q, width of v): loops are told by role and place.
  const loops = Object.fromEntries(
    roles.map((role) => [role, names[role].map((name, i): Loop => ({ name: `${role}${i}`, range: sizeOfAxis(role, name) }))]),
  ) as unknown as Record<Role, Loop[]>;
  const tensors = [
    ...op.inputs.map((value, i) => ({
      name: opRow(op.op).operands[i] as string,
      value,
      binding: undefined as number | undefined,
    })),
    ...op.outputs.map((value, i) => ({
      name: forms[op.op]!.outputs[i]!,
      value: stored(region, value),
      binding: bindingOf(region, value),
    })),
  ];
  /** Coordinates of a tensor: each of its axes belongs to one of its roles. */
  const coordsOf = (name: string, value: Value, at: (l: Loop) => Affine): Affine[] =>
    value.type.axes.map((axis) => {
      const role = places[name]!.find((r) => names[r].includes(axis))!;
      return at(loops[role][names[role].indexOf(axis)]!);
    });
  const index = (name: string, value: Value, at: (l: Loop) => Affine): Affine => {
    let sum: Affine = zero;
    coordsOf(name, value, at).forEach((c, i) => {
      sum = plus(times(sum, value.type.shape[i]!), c);
    });
    return sum;
  };
  const binding = (param: number) => `b${region.params[param]}`;
  const dry = new Emitter(region.body, new Words(), binding);
  const accesses: Affine[] = [];
  for (const t of tensors) {
    if (t.binding === undefined) dry.at(t.value, coordsOf(t.name, t.value, atom));
    else accesses.push(index(t.name, t.value, atom));
  }
  accesses.push(...dry.loads.map((l) => l.index));
  const words = new Words();
  const merged = Object.fromEntries(
    roles.map((role) => [role, mergeRuns(runs(loops[role], [...accesses, rowMajor(loops[role])], dry.pinned))]),
  ) as unknown as Record<Role, ReturnType<typeof mergeRuns>>;
  const size = Object.fromEntries(roles.map((role) => [role, product(loops[role].map((l) => l.range))])) as Record<Role, Size>;
  const at = (l: Loop): Affine => roles.map((r) => merged[r].at.get(l.name)).find((a) => a !== undefined) ?? zero;
  const declare = (name: string, text: string) => `let ${name} = ${text};`;
  const hooks = tensors.map(({ name, value, binding: to }) => {
    const emitter = new Emitter(region.body, words, binding);
    const parameters = places[name]!.map((_, i) => ["batch", "row", "column"][i]!);
    const head = places[name]!.flatMap((role, i) => decode(merged[role].loops, parameters[i]!, words.size, declare));
    const list = parameters.map((p) => `${p}: u32`).join(", ");
    if (to !== undefined) {
      const place = emitter.printIndex(index(name, value, at));
      return fnText(`store_${name}(${list}, value: f32)`, [...head, `b${to}[${place}] = value;`]);
    }
    const text = emitter.at(value, coordsOf(name, value, at));
    return fnText(`load_${name}(${list}) -> f32`, [...head, ...emitter.lines, `return ${text};`]);
  });
  return { op, words, size, hooks: hooks.join("\n") };
}

/** The form in which a result is stored: behind the transpose that turns it. */
function stored(region: Region, v: Value): Value {
  if (region.body.results.some((r) => r.value === v)) return v;
  return region.body.nodes.find((n) => n.op === "transpose" && n.inputs[0] === v)!.outputs[0]!;
}

const bindingOf = (region: Region, v: Value): number =>
  region.results[region.body.results.findIndex((r) => r.value === stored(region, v))]!;

/** `vector_x(batch, row, c)`: four columns of a row from the fourth multiple of c on, zeros past its end. */
function vectorHook(name: string, width: number): string {
  const part = (j: number): string => {
    if (width % 4 === 0) return `load_${name}(batch, row, 4u * c + ${j}u)`;
    return `select(0.0, load_${name}(batch, row, min(4u * c + ${j}u, ${width - 1}u)), 4u * c + ${j}u < ${width}u)`;
  };
  return fnText(`vector_${name}(batch: u32, row: u32, c: u32) -> vec4f`, [`return vec4f(${[0, 1, 2, 3].map(part).join(", ")});`]);
}

/** `put_x(batch, row, c, value)`: the columns that the row has. */
function putHook(name: string, width: number): string {
  const part = (j: number): string => {
    const store = `store_${name}(batch, row, 4u * c + ${j}u, value.${"xyzw"[j]});`;
    return width % 4 === 0 ? store : `if (4u * c + ${j}u < ${width}u) { ${store} }`;
  };
  return fnText(`put_${name}(batch: u32, row: u32, c: u32, value: vec4f)`, [0, 1, 2, 3].map(part));
}

function variant(region: Region, plan: Plan, tiled: boolean, sizes: Record<string, string>): LoweredVariant {
  const { op } = plan;
  const form = forms[op.op]!;
  const width: Record<Role, number> = {
    over: plan.size.over as number,
    own: plan.size.own as number,
    batch: 0,
    query: 0,
    key: 0,
  };
  const columns = (name: string): number => width[places[name]!.at(-1)!];
  const vectors = (n: number): number => Math.ceil(n / 4);
  const [a, b] = [vectors(columns(form.a)), vectors(columns(form.b))];
  const rows = Math.max(1, Math.min(MOST_ROWS, Math.floor(TILE_BYTES / (16 * (a + b)))));
  const read = op.inputs.map((_, i) => opRow(op.op).operands[i] as string).filter((name) => name !== "lse");
  const wide = form.outputs.filter((name) => name !== "lse");
  const hooks = [
    plan.hooks,
    ...read.map((name) => vectorHook(name, columns(name))),
    ...wide.map((name) => putHook(name, columns(name))),
    fnText("vector_a(batch: u32, row: u32, c: u32) -> vec4f", [`return vector_${form.a}(batch, row, c);`]),
    fnText("vector_b(batch: u32, row: u32, c: u32) -> vec4f", [`return vector_${form.b}(batch, row, c);`]),
  ];
  const text = kernelText({
    title: `${op.op}, ${tiled ? `tiles of ${rows} rows` : "naive"}`,
    bindings: region.bindings,
    words: plan.words,
    consts: {
      THREADS: `${THREADS}u`,
      OVER: `${vectors(width.over)}u`,
      OWN: `${vectors(width.own)}u`,
      A: `${a}u`,
      B: `${b}u`,
      ROWS: `${rows}u`,
      SCALE: literal(op.attrs.scale as number, "f32"),
    },
    sizes,
    hooks: hooks.join("\n"),
    file: `./kernels/${form.file}.wgsl`,
    libraries: [`./kernels/attention-${tiled ? "tile" : "direct"}.wgsl`],
    rolled: Math.max(a, b) > UNROLLED,
  });
  return { name: tiled ? "tile" : "naive", requires: {}, workgroupSize: THREADS, tile: [THREADS, 1], text };
}

export const attention: Family = {
  name: "attention",
  doc: "Attention and its gradients, without the scores in memory: one thread a query or key, tiles in workgroup memory.",
  lower: (region, options) => {
    if (region.kind !== "op") return undefined;
    const plan = planOf(region);
    if (!plan) return undefined;
    const { words, size, op } = plan;
    const sizes = {
      QUERIES: words.named("queries", size.query),
      KEYS: words.named("keys", size.key),
      BATCHES: words.named("batches", size.batch),
    };
    const form = forms[op.op]!;
    return {
      family: op.op.replaceAll("_", "-"),
      words,
      extent: [size[form.along], size.batch],
      variants: [variant(region, plan, !options.safe, sizes)],
    };
  },
};
