/**
 * What every form of attention and its gradients starts from: the sizes of an op by role (batch, query, key, the width of q and that of v),
 * and the functions by which the texts load each operand and store each result, through whatever views stand before them and in whatever
 * order of axes is asked for.
 */
import type { Node, Value } from "../../ir/graph.js";
import { attentionAxes } from "../../ir/ops/attention.js";
import { opRow } from "../../ir/ops/index.js";
import { sizeOf } from "../../ir/types.js";
import { product, type Size } from "../../program/size.js";
import { Emitter, Words } from "../emitter.js";
import { inFours } from "../fours.js";
import { type Affine, atom, coefficient, zero } from "../index-math.js";
import { fnText } from "../kernel.js";
import { decode, type Loop, mergeRuns, type Region, resultIndex, rowMajor, runs } from "../region.js";

const roles = ["batch", "query", "key", "over", "own"] as const;
export type Role = (typeof roles)[number];

/** What a tensor of the op is read or written at: the axes of each coordinate. */
export const places: Record<string, readonly Role[]> = {
  q: ["batch", "query", "over"],
  k: ["batch", "key", "over"],
  v: ["batch", "key", "own"],
  o: ["batch", "query", "own"],
  lse: ["batch", "query"],
  delta: ["batch", "query"],
  do: ["batch", "query", "own"],
  dq: ["batch", "query", "over"],
  dk: ["batch", "key", "over"],
  dv: ["batch", "key", "own"],
};

export interface OpForm {
  readonly outputs: readonly string[];
  readonly file: string;
  /** What a thread is for: a query, or a key. */
  readonly along: Role;
}

/** Results and file of each op. */
export const forms: Record<string, OpForm> = {
  attention: { outputs: ["o", "lse"], file: "attention", along: "query" },
  attention_grad_q: { outputs: ["dq", "delta"], file: "attention-grad-q", along: "query" },
  attention_grad_kv: { outputs: ["dk", "dv"], file: "attention-grad-kv", along: "key" },
};

/** How a tensor is read or written. */
export interface Hook {
  readonly name: string;
  /** `load_x(batch, row, column)` or `store_x(…, value)`. */
  readonly text: string;
  readonly bindings: readonly number[];
  /** Where it is nothing but one binding, in which its columns are evenly spaced. */
  readonly row?: RowPlace;
}

export interface RowPlace {
  readonly binding: number;
  /** What `batch` and what `row` add to where the row begins. */
  readonly ofBatch: Part;
  readonly ofRow: Part;
  /** WGSL of the distance of two columns. */
  readonly step: string;
  /** Whether four columns lie side by side at a multiple of four. */
  readonly four: boolean;
}

/** A part of an index: lines, and its WGSL. */
interface Part {
  readonly lines: readonly string[];
  readonly at: string;
}

export interface Plan {
  readonly op: Node;
  readonly words: Words;
  readonly size: Record<Role, Size>;
  readonly hooks: readonly Hook[];
}

/** Loads of every operand and stores of every result. */
export function planOf(region: Region): Plan | undefined {
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
      result: undefined as number | undefined,
    })),
    ...op.outputs.map((value, i) => ({
      name: forms[op.op]!.outputs[i]!,
      value: stored(region, value),
      result: region.body.results.findIndex((r) => r.value === stored(region, value)) as number | undefined,
    })),
  ];
  /** Coordinates of a tensor: each of its axes belongs to one of its roles. */
  const coordsOf = (name: string, value: Value, at: (l: Loop) => Affine): Affine[] =>
    value.type.axes.map((axis) => {
      const role = places[name]!.find((r) => names[r].includes(axis))!;
      return at(loops[role][names[role].indexOf(axis)]!);
    });
  const index = (name: string, value: Value, result: number, at: (l: Loop) => Affine): Affine =>
    resultIndex(region, result, value.type, coordsOf(name, value, at));
  const binding = (param: number) => `b${region.params[param]}`;
  const dry = new Emitter(region.body, new Words(), binding);
  const accesses: Affine[] = [];
  for (const t of tensors) {
    if (t.result === undefined) dry.at(t.value, coordsOf(t.name, t.value, atom));
    else accesses.push(index(t.name, t.value, t.result, atom));
  }
  accesses.push(...dry.loads.map((l) => l.index));
  const words = new Words();
  const merged = Object.fromEntries(
    roles.map((role) => [role, mergeRuns(runs(loops[role], [...accesses, rowMajor(loops[role])], dry.pinned))]),
  ) as unknown as Record<Role, ReturnType<typeof mergeRuns>>;
  const size = Object.fromEntries(roles.map((role) => [role, product(loops[role].map((l) => l.range))])) as Record<Role, Size>;
  const at = (l: Loop): Affine => roles.map((r) => merged[r].at.get(l.name)).find((a) => a !== undefined) ?? zero;
  const declare = (name: string, text: string) => `let ${name} = ${text};`;
  const hooks = tensors.map(({ name, value, result }): Hook => {
    const emitter = new Emitter(region.body, words, binding);
    const parameters = places[name]!.map((_, i) => ["batch", "row", "column"][i]!);
    const head = places[name]!.flatMap((role, i) => decode(merged[role].loops, parameters[i]!, words.size, declare));
    const list = parameters.map((p) => `${p}: u32`).join(", ");
    const width = merged[places[name]!.at(-1)!].loops;
    /** With the index of a row's elements in parts: what is the same along the row, and what a column adds. */
    const rowPlace = (x: Affine, binding: number): { row?: RowPlace } => {
      const columns = places[name]!.length > 2 ? width : [];
      if (columns.length > 1) return {};
      const part = (i: number, constant: Size): Part => {
        const { loops } = merged[places[name]![i]!];
        const terms = x.terms.filter(({ atom }) => loops.some((loop) => loop.name === atom.name));
        return { lines: decode(loops, parameters[i]!, words.size, declare), at: emitter.printIndex({ terms, constant }) };
      };
      const column = columns[0]?.name ?? "";
      const four = columns[0] !== undefined && inFours(x, columns[0]);
      return {
        row: { binding, ofBatch: part(0, x.constant), ofRow: part(1, 0), step: words.size(coefficient(x, column)), four },
      };
    };
    if (result !== undefined) {
      const place = index(name, value, result, at);
      const to = region.results[result]!;
      const text = fnText(`store_${name}(${list}, value: f32)`, [...head, `b${to}[${emitter.printIndex(place)}] = value;`]);
      return { name, text, bindings: [to], ...rowPlace(place, to) };
    }
    const text = emitter.at(value, coordsOf(name, value, at));
    const { lines, loads } = emitter;
    const bindings = loads.map((l) => region.params[l.param]!);
    const load = loads.length === 1 ? loads[0]! : undefined;
    // Nothing but one load: a row of it has a beginning.
    const plain =
      load && lines.length === 1 && lines[0] === `let ${text} = ${binding(load.param)}[${emitter.printIndex(load.index)}];`;
    return {
      name,
      text: fnText(`load_${name}(${list}) -> f32`, [...head, ...lines, `return ${text};`]),
      bindings,
      ...(plain ? rowPlace(load.index, bindings[0]!) : {}),
    };
  });
  return { op, words, size, hooks };
}

/** Bindings that every tensor in them is read and written by fours, where it may be; a binding has one type. */
export function bindingsOfFours(region: Region, hooks: readonly Hook[], may: (name: string) => boolean = () => true): number[] {
  const single = new Set(hooks.filter((h) => !h.row?.four || !may(h.name)).flatMap((h) => h.bindings));
  return region.bindings.flatMap(({ dtype }, i) => (["f32", "f16"].includes(dtype) && !single.has(i) ? [i] : []));
}

/** The form in which a result is stored: behind the transpose that turns it. */
function stored(region: Region, v: Value): Value {
  if (region.body.results.some((r) => r.value === v)) return v;
  return region.body.nodes.find((n) => n.op === "transpose" && n.inputs[0] === v)!.outputs[0]!;
}

/** `start_x(batch, row)`: where a row begins, found once for all its columns. */
const startHook = (name: string, { ofBatch, ofRow }: RowPlace): string =>
  fnText(`start_${name}(batch: u32, row: u32) -> u32`, [...ofBatch.lines, ...ofRow.lines, `return ${ofBatch.at} + ${ofRow.at};`]);

/**
 * `vector_x(start, c)`: vector c of a row, zeros past its end; or `put_x(…, value)`: the columns that the row has. A row has `vectors` of
 * them, which may be more than its columns fill.
 */
function rowHook(
  name: string,
  output: boolean,
  { binding, step }: RowPlace,
  { fours, width, vectors }: { fours: boolean; width: number; vectors: number },
): string {
  const exact = width === 4 * vectors;
  const column = (j: number): string => `4u * c + ${j}u`;
  const at = (text: string): string => `b${binding}[start + ${step === "1u" ? text : `(${text}) * ${step}`}]`;
  const within = (text: string, zero: string, value: string, count: number): string =>
    exact ? value : `select(${zero}, ${value}, ${text} < ${count}u)`;
  const last = (text: string, count: number): string => (exact ? text : `min(${text}, ${count - 1}u)`);
  if (output) {
    const guarded = (text: string, count: number, line: string): string =>
      exact ? line : `if (${text} < ${count}u) { ${line} }`;
    const stores = fours
      ? [guarded("c", width / 4, `b${binding}[start / 4u + c] = value;`)]
      : [0, 1, 2, 3].map((j) => guarded(column(j), width, `${at(column(j))} = value.${"xyzw"[j]};`));
    return fnText(`put_${name}(start: u32, c: u32, value: vec4f)`, stores);
  }
  const parts = [0, 1, 2, 3].map((j) => within(column(j), "0.0", at(last(column(j), width)), width));
  const value = fours
    ? within("c", "vec4f()", `b${binding}[start / 4u + ${last("c", width / 4)}]`, width / 4)
    : `vec4f(${parts.join(", ")})`;
  return fnText(`vector_${name}(start: u32, c: u32) -> vec4f`, [`return ${value};`]);
}

/**
 * All functions of a kernel that goes by vectors, and the bindings that it sees as such; undefined where columns are not evenly spaced.
 * `a`, `b`: vectors of a row of q, and of v.
 */
export function vectorHooks(
  region: Region,
  plan: Plan,
  a: number,
  b: number,
): { readonly hooks: string; readonly vec4: number[] } | undefined {
  const vec4 = bindingsOfFours(region, plan.hooks);
  const { outputs } = forms[plan.op.op]!;
  const texts = plan.hooks.map(({ name, text, row }) => {
    const roles = places[name]!;
    if (roles.length < 3) return text;
    if (!row) return undefined;
    const [width, vectors] = [plan.size[roles[2]!] as number, roles[2] === "over" ? a : b];
    const hook = rowHook(name, outputs.includes(name), row, { fours: vec4.includes(row.binding), width, vectors });
    return `${startHook(name, row)}\n${hook}`;
  });
  return texts.includes(undefined) ? undefined : { hooks: texts.join("\n"), vec4 };
}
