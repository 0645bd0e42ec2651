/**
 * Attention and its gradients where a subgroup is a CPU's vector: each has rows of its own and goes along the others one by one, and its
 * lanes share the columns of every row. How many rows and columns there are, and how they are loaded, is decided here; attention-lanes.wgsl
 * says what is done with them.
 */
import { literal } from "../../ir/ops/literal.js";
import { evaluate } from "../../program/size.js";
import { fnText, kernelText, type LoweredVariant } from "../kernel.js";
import type { Region } from "../region.js";
import { bindingsOfFours, forms, type Plan, places } from "./attention-plan.js";

/** Widths of subgroups that are the vector of a CPU; a GPU's are wider, or of several widths. */
export const CPU_WIDTHS = [4, 8, 16];
/** Most columns of a row in one lane, and most numbers of an operand's own rows. */
const MOST_COLUMNS_OF_LANE = 32;
const MOST_NUMBERS_OF_LANE = 320;

/** Most own rows: more load less for each and are longer text. grad-kv, of twice as many arrays, falls out of a CPU's nearest memory. */
const MOST_ROWS: Readonly<Record<string, number>> = { attention: 32, attention_grad_q: 32, attention_grad_kv: 16 };

/**
 * Rows of its own that a subgroup has, a multiple of its width: of `there` rows at the compile batch, with so many columns a lane. Up to 16 even
 * where half of them are more than there are; 32 where an eighth is at most.
 */
function subgroupRows(op: string, there: number, columns: number, s: number): number {
  const most = Math.min(MOST_ROWS[op]!, MOST_NUMBERS_OF_LANE / columns);
  const all = Math.ceil(there / 32) * 32;
  return Math.max(s, [32, 16, 8, 4].find((rows) => rows <= most && (rows > 16 ? 8 * all <= 9 * there : rows < 2 * there)) ?? s);
}

/**
 * `across(lane, x)`: lane r gets the sum of x[r] over all lanes, for S rows at once. At each step a lane keeps half of its rows and gives the
 * other half to the lane that keeps those: as many rows in all as there are to add. `whole_sum(x)`: the sum over all lanes, in each.
 */
function acrossHooks(s: number): string {
  const lines: string[] = [];
  let rows = Array.from({ length: s }, (_, r) => `x[${r}u]`);
  const halves = Array.from({ length: Math.log2(s) }, (_, i) => s >> (i + 1));
  for (const half of halves) {
    lines.push(`let upper${half} = (lane & ${half}u) != 0u;`);
    rows = rows.slice(0, half).map((low, r) => {
      const high = rows[r + half]!;
      const [kept, given] = [`select(${low}, ${high}, upper${half})`, `select(${high}, ${low}, upper${half})`];
      lines.push(`let x${half}_${r} = ${kept} + subgroupShuffleXor(${given}, ${half}u);`);
      return `x${half}_${r}`;
    });
  }
  const whole = halves.map((half, i) => `let x${i + 1} = x${i} + subgroupShuffleXor(x${i}, ${half}u);`);
  return [
    fnText(`across(lane: u32, x: array<f32, ${s}>) -> f32`, [...lines, `return ${rows[0]};`]),
    fnText("whole_sum(x0: f32) -> f32", [...whole, `return x${halves.length};`]),
  ].join("\n");
}

/** Undefined for rows so wide that their text would be very long, and where columns are not evenly spaced. */
export function subgroup(region: Region, plan: Plan, sizes: Record<string, string>, s: number): LoweredVariant | undefined {
  const { op, words } = plan;
  const form = forms[op.op]!;
  const [over, own] = [plan.size.over as number, plan.size.own as number];
  if (Math.max(over, own) > MOST_COLUMNS_OF_LANE * s) return undefined;
  const found = laneHooks(region, plan, s);
  if (!found) return undefined;
  const [a, b] = [Math.ceil(over / s), Math.ceil(own / s)];
  const rows = subgroupRows(op.op, evaluate(plan.size[form.along], region.batch), Math.max(a, b), s);
  const count = (n: number): string => `${n}u`;
  const text = kernelText({
    title: `${op.op}, subgroups of ${s}, ${rows} rows each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    words,
    consts: {
      S: count(s),
      TM: count(rows),
      GROUPS: count(rows / s),
      PART_A: count(a),
      PART_B: count(b),
      SCALE: literal(op.attrs.scale as number, "f32"),
    },
    // Counted by a word of the uniform, so that no driver unrolls the loads of own rows.
    sizes: { ...sizes, ROWS: words.named(`${rows} rows`, rows) },
    hooks: `${acrossHooks(s)}\n${found.hooks}`,
    vec4: found.vec4,
    file: `./kernels/${form.file}-subgroup.wgsl`,
    libraries: ["./kernels/attention-lanes.wgsl"],
  });
  return {
    name: `subgroup-${s}`,
    requires: { features: ["subgroups"], subgroupSize: s, hardware: false },
    workgroupSize: s,
    tile: [rows, 1],
    text,
  };
}

/**
 * How a lane loads and stores its columns, and the bindings that it sees as vectors; undefined where columns are not evenly spaced. Lanes have
 * four columns each, then the next four, while there are as many for all, then one each: four side by side take as long to load as two of one.
 * `place_x(batch)` says where the rows of a batch begin, which is a division for each lane, so that no loop over rows does it again.
 */
function laneHooks(region: Region, plan: Plan, lanes: number): { readonly hooks: string; readonly vec4: number[] } | undefined {
  const { outputs } = forms[plan.op.op]!;
  const widthOf = (name: string): number => plan.size[places[name]![2]!] as number;
  // To store one number of a vector is to write all of it.
  const wide = (name: string): boolean =>
    widthOf(name) >= 4 * lanes && (!outputs.includes(name) || widthOf(name) % (4 * lanes) === 0);
  const vec4 = bindingsOfFours(region, plan.hooks, (name) => places[name]!.length < 3 || wide(name));
  const texts = plan.hooks.map(({ name, row }) => {
    if (!row) return undefined;
    const { binding, ofBatch, ofRow, step } = row;
    const place = fnText(`place_${name}(batch: u32) -> u32`, [...ofBatch.lines, `return ${ofBatch.at};`]);
    const output = outputs.includes(name);
    const start = [...ofRow.lines, `let start = place + ${ofRow.at};`];
    if (places[name]!.length < 3) {
      const one = output
        ? fnText(`put_${name}(place: u32, row: u32, value: f32)`, [...start, `b${binding}[start] = value;`])
        : fnText(`number_${name}(place: u32, row: u32) -> f32`, [...start, `return b${binding}[start];`]);
      return `${place}\n${one}`;
    }
    const part = places[name]![2] === "over" ? "PART_A" : "PART_B";
    const given = { name, part, binding, step, start, vec4: vec4.includes(binding), width: widthOf(name), lanes };
    return `${place}\n${output ? putRow(given) : takeRow(given)}`;
  });
  return texts.includes(undefined) ? undefined : { hooks: texts.join("\n"), vec4 };
}

interface LaneRow {
  readonly name: string;
  /** The const that says how many columns a lane has. */
  readonly part: string;
  readonly binding: number;
  readonly step: string;
  /** Lines that find where the row begins. */
  readonly start: readonly string[];
  /** Whether the binding is of vectors. */
  readonly vec4: boolean;
  readonly width: number;
  readonly lanes: number;
}

/** The columns of a lane: WGSL of each, and how many of them come in fours. The last is past the end in some lanes, unless `even`. */
function columnsOf({ width, lanes }: LaneRow): {
  readonly columns: readonly string[];
  readonly fours: number;
  readonly even: boolean;
} {
  const fours = 4 * Math.floor(width / (4 * lanes));
  const columns = Array.from({ length: Math.ceil(width / lanes) }, (_, c) =>
    c < fours ? `${(c - (c % 4)) * lanes + (c % 4)}u + 4u * lane` : `${c * lanes}u + lane`,
  );
  return { columns, fours, even: width % lanes === 0 };
}

/** `row_x(place, row, lane)`: the lane's columns of a row, zero past the end. */
function takeRow(given: LaneRow): string {
  const { name, part, binding, step, start, vec4, width } = given;
  const { columns, fours, even } = columnsOf(given);
  const lines = [...start];
  const values = columns.map((column, c) => {
    if (vec4 && c < fours) {
      if (c % 4 === 0) lines.push(`let x${c} = b${binding}[(start + ${column}) / 4u];`);
      return `x${c - (c % 4)}.${"xyzw"[c % 4]}`;
    }
    const past = !even && c === columns.length - 1;
    const safe = past ? `min(${column}, ${width - 1}u)` : column;
    const at = `start + ${step === "1u" ? safe : `(${safe}) * ${step}`}`;
    const value = vec4 ? `b${binding}[(${at}) / 4u][(${at}) % 4u]` : `b${binding}[${at}]`;
    return past ? `select(0.0, ${value}, ${column} < ${width}u)` : value;
  });
  return fnText(`row_${name}(place: u32, row: u32, lane: u32) -> array<f32, ${part}>`, [
    ...lines,
    `return array<f32, ${part}>(${values.join(", ")});`,
  ]);
}

/** `put_x(place, row, lane, values, at)`: stores the lane's columns of a row, which lie in `values` from `at` on. */
function putRow(given: LaneRow): string {
  const { name, part, binding, step, start, vec4, width } = given;
  const { columns, even } = columnsOf(given);
  const value = (c: number): string => `(*values)[at + ${c}u]`;
  const lines = columns.flatMap((column, c) => {
    if (vec4) {
      const four = `vec4f(${[0, 1, 2, 3].map((j) => value(c + j)).join(", ")})`;
      return c % 4 === 0 ? [`b${binding}[(start + ${column}) / 4u] = ${four};`] : [];
    }
    const store = `b${binding}[start + ${step === "1u" ? column : `(${column}) * ${step}`}] = ${value(c)};`;
    return even || c < columns.length - 1 ? [store] : [`if (${column} < ${width}u) {`, `  ${store}`, "}"];
  });
  const values = `values: ptr<function, array<f32, TM * ${part}>>`;
  return fnText(`put_${name}(place: u32, row: u32, lane: u32, ${values}, at: u32)`, [...start, ...lines]);
}
