/**
 * A rows region made ready for a kernel: the text of what happens to a strip of rows. Reductions come in levels (the mean, then the
 * variance that needs it); each level goes along the row once, and what has one value a row is computed between. Where runs of rows are
 * summed, a strip is one run: first each row's values are found and kept, then the columns go down the run. Nothing is kept per column,
 * so a row may have any length.
 *
 * The text is for a workgroup of TEAMS times WIDTH threads: WIDTH go along a row together, `total` and `largest` (in the family's file) combine
 * their parts, and each team has a row of its own (`row_of`, `lane_of`). Most forms have one team; the naive form is one thread.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import type { Node, Value } from "../ir/graph.js";
import { opRow } from "../ir/ops/index.js";
import { literal } from "../ir/ops/literal.js";
import type { TensorType } from "../ir/types.js";
import { printSize, product, type Size } from "../program/size.js";
import { Emitter, toStored, Words } from "./emitter.js";
import { byFour, type FourLoads, fourLoads, foursText } from "./fours.js";
import { type Affine, atom, zero } from "./index-math.js";
import { decode, type Loop, loopsOf, mergeRuns, type Region, rowMajor, runs } from "./region.js";

export interface RowsText {
  /** Statements for strip number `strip`, given `lid` and the helpers. */
  readonly lines: readonly string[];
  readonly words: Words;
  readonly strips: Size;
  /** Elements of a row. */
  readonly length: Size;
  /** Rows of a strip, and how many values are kept for each. */
  readonly run: number;
  readonly kept: number;
  /** Whether anything goes along a row; else columns go down runs, and no thread needs another. */
  readonly reduces: boolean;
  readonly emitter: Emitter;
  /** Bindings that are read and written four numbers at a time. */
  readonly vec4: readonly number[];
}

interface Shape {
  readonly full: TensorType;
  readonly split: number;
  readonly run: number;
}

const space = (shape: readonly Size[]): string => shape.map(printSize).join(" ");

/** The full space and where its rows begin, from a reduction or a sum of runs in the body. */
function shapeOf(region: Region): Shape {
  const partial = region.body.nodes.find((n) => n.op === "sum_runs");
  if (partial) {
    const full = partial.inputs[0]!.type;
    return { full, split: full.axes.indexOf(partial.attrs.axis as string) + 1, run: partial.attrs.run as number };
  }
  const reduction = region.body.nodes.find(isReduction);
  if (!reduction) throw new InternalError(`region ${region.body.name} has no rows`);
  const full = reduction.inputs[0]!.type;
  return { full, split: full.axes.length - (reduction.attrs.over as readonly string[]).length, run: 1 };
}

const isReduction = (n: Node): boolean => opRow(n.op).fusion.kind === "anchor";

/** Columns four by four: the loop along which they lie side by side, and the loads that do. */
interface FourColumns {
  readonly along: Loop;
  readonly loads: FourLoads;
}

/** `WIDTH`-independent text. Columns are taken four by four where all that moves along a row lies so, unless `fours` forbids it. */
export function rowsText(region: Region, fours: boolean): RowsText {
  const shape = shapeOf(region);
  const outer = loopsOf("o", shape.full.shape.slice(0, shape.split));
  const inner = loopsOf("k", shape.full.shape.slice(shape.split));
  // A dry run finds which loops every access steps through alike; these become one.
  const dry = new Writer(region, shape, outer.map(atom), inner.map(atom));
  dry.write();
  const accesses = dry.emitter.loads.map((l) => l.index);
  const columns = mergeRuns(runs(inner, [...accesses, rowMajor(inner)], dry.emitter.pinned));
  const rows = mergeRuns(runs(outer, [...accesses, rowMajor(outer)], dry.emitter.pinned));
  const at = (merged: typeof rows, l: Loop) => merged.at.get(l.name) ?? zero;
  const write = (four?: FourColumns) => {
    const coords = [outer.map((l) => at(rows, l)), inner.map((l) => at(columns, l))] as const;
    return new Writer(region, shape, ...coords, four).finish(rows.loops, columns.loops);
  };
  const single = write()!;
  const along = columns.loops.at(-1);
  if (!fours || !along || !byFour(along.range)) return single;
  // The same lines are written again, now that all loads are known.
  const loads = fourLoads(region, single.emitter.loads, (index) => single.emitter.printIndex(index), along);
  return (loads && write({ along, loads })) ?? single;
}

class Writer {
  readonly words = new Words();
  readonly emitter: Emitter;
  private readonly rowSpace: string;
  private readonly fullSpace: string;
  /** Levels of reductions: each needs only those before. */
  private readonly levels: readonly (readonly Node[])[];
  /** One value a row, read by the columns: kept for each row of a run. */
  private readonly keptValues: readonly Value[];
  private next = 0;
  private failed = false;

  constructor(
    private readonly region: Region,
    private readonly shape: Shape,
    private readonly rowCoords: readonly Affine[],
    private readonly columnCoords: readonly Affine[],
    private readonly four?: FourColumns,
  ) {
    this.emitter = new Emitter(region.body, this.words, (p) => `b${region.params[p]}`);
    this.fullSpace = space(shape.full.shape);
    this.rowSpace = space(shape.full.shape.slice(0, shape.split));
    this.levels = levelsOf(region);
    this.keptValues = this.findKept();
  }

  private get full(): readonly Affine[] {
    return [...this.rowCoords, ...this.columnCoords];
  }

  /** Values of row space that depend on a reduction, in order. */
  private rowValues(): Value[] {
    const after = new Set<Value>();
    const list: Value[] = [];
    for (const node of this.region.body.nodes) {
      const v = node.outputs[0]!;
      if (isReduction(node) || node.inputs.some((x) => after.has(x))) {
        if (node.op === "sum_runs") continue;
        after.add(v);
        if (space(v.type.shape) === this.rowSpace && v.type.axes.length === this.shape.split) list.push(v);
      }
    }
    return list;
  }

  /** Row values that something of the full space reads through a view, and results of row space need nothing kept. */
  private findKept(): Value[] {
    const rowValues = new Set(this.rowValues());
    return [...rowValues].filter((v) =>
      this.region.body.nodes.some(
        (n) => n.inputs.includes(v) && n.op === "expand" && space(n.outputs[0]!.type.shape) === this.fullSpace,
      ),
    );
  }

  /** Writes once for the accesses alone. */
  write(): void {
    this.body([], []);
  }

  /** Lines that are done for a column, for four of them where that is wanted; noted when it cannot be. */
  private columnLines(lines: readonly string[], totals: readonly string[] = []): readonly string[] {
    if (!this.four) return lines;
    const text = foursText(lines, this.four.loads, this.four.along, totals);
    if (!text) this.failed = true;
    return text ?? lines;
  }

  /** Bindings of results that have a value for each column. */
  private columnResults(): { readonly value: Value; readonly binding: number }[] {
    return this.region.body.results
      .map((r, k) => ({ value: r.value, binding: this.region.results[k]! }))
      .filter((r) => this.kindOf(r.value) !== "row");
  }

  /** Undefined where columns were to be taken four by four, and cannot. */
  finish(rows: readonly Loop[], columns: readonly Loop[]): RowsText | undefined {
    const { run } = this.shape;
    const length = product(columns.map((l) => l.range));
    const strips = product(this.shape.full.shape.slice(0, this.shape.split));
    const lines = this.body(rows, columns);
    const results = this.four ? this.columnResults() : [];
    const fits = results.every((r) => r.value.type.dtype === "f32" && !this.four!.loads.single.has(r.binding));
    if (this.failed || !fits) return undefined;
    return {
      lines,
      words: this.words,
      strips: run === 1 ? strips : divided(strips, run),
      length,
      run,
      kept: run === 1 ? 0 : this.keptValues.length,
      reduces: this.levels.length > 0,
      emitter: this.emitter,
      vec4: this.four ? [...new Set([...this.four.loads.vec4, ...results.map((r) => r.binding)])] : [],
    };
  }

  private body(rows: readonly Loop[], columns: readonly Loop[]): string[] {
    const { run } = this.shape;
    const { emitter } = this;
    const declare = (name: string, text: string) => `let ${name} = ${text};`;
    const decodeRow = decode(rows, "row", this.words.size, declare);
    const decodeColumn = decode(columns, "c", this.words.size, declare);
    const length = this.words.named("row length", product(columns.map((l) => l.range)));
    const columnLoop = (from: string, by: string): string =>
      this.four
        ? `for (var c = 4u * ${from}; c < ${length}; c += 4u * ${by}) {`
        : `for (var c = ${from}; c < ${length}; c += ${by}) {`;
    const columnsBy = (head: string, lines: readonly string[], totals?: readonly string[]) => [
      head,
      ...indent([...decodeColumn, ...this.columnLines(lines, totals)]),
      "}",
    ];
    /** The threads of one row along it, and all threads of the workgroup side by side. */
    const along = (lines: readonly string[], totals?: readonly string[]) =>
      columnsBy(columnLoop("lane_of(lid)", "WIDTH"), lines, totals);
    const across = (lines: readonly string[]) => columnsBy(columnLoop("lid", "WIDTH * TEAMS"), lines);
    /** All reductions of a row, and what has one value a row. */
    const reduce = (): void => {
      for (const level of this.levels) {
        const parts = level.map((node) => ({ node, part: `p${this.next++}` }));
        for (const { node, part } of parts) {
          emitter.lines.push(`var ${part} = ${this.four ? `vec4f(${identity(node)})` : identity(node)};`);
        }
        const lines = emitter.scope(() => {
          for (const { node, part } of parts) {
            const value = emitter.at(node.inputs[0]!, this.full);
            emitter.lines.push(node.op === "max" ? `${part} = max(${part}, ${value});` : `${part} += ${value};`);
          }
        });
        emitter.lines.push(
          ...along(
            lines,
            parts.map(({ part }) => part),
          ),
        );
        for (const { node, part } of parts) {
          const name = `r${this.next++}`;
          const own = this.four ? ofFour(node, part) : part;
          emitter.lines.push(`let ${name} = ${node.op === "max" ? "largest" : "total"}(${own}, lid);`);
          emitter.define(node.outputs[0]!, this.rowCoords, name);
        }
      }
      // Before the columns, so that no column computes them again.
      for (const v of this.rowValues()) emitter.at(v, this.rowCoords);
    };
    const results = this.region.body.results.map((r, k) => ({ value: r.value, binding: this.region.results[k]! }));
    const inRow = results.filter((r) => this.kindOf(r.value) === "row");
    const storeRows = () => {
      for (const { value, binding } of inRow) {
        emitter.lines.push(
          "if (lane_of(lid) == 0u) {",
          `  b${binding}[row] = ${toStored(emitter.at(value, this.rowCoords), value.type.dtype)};`,
          "}",
        );
      }
    };
    const storeColumns = () => {
      for (const { value, binding } of results.filter((r) => this.kindOf(r.value) === "full"))
        emitter.lines.push(`b${binding}[row * ${length} + c] = ${toStored(emitter.at(value, this.full), value.type.dtype)};`);
    };
    const partials = results.filter((r) => this.kindOf(r.value) === "partial");
    const summand = (v: Value) =>
      emitter.at(this.region.body.nodes.find((n) => n.outputs[0] === this.behind(v))!.inputs[0]!, this.full);
    const hasColumns = results.length > inRow.length;
    if (run === 1) {
      const columns = () => {
        storeColumns();
        // A run of one row is its own sum.
        for (const { value, binding } of partials) emitter.lines.push(`b${binding}[row * ${length} + c] = ${summand(value)};`);
      };
      return emitter.scope(() => {
        emitter.lines.push("let row = strip;", ...decodeRow);
        reduce();
        storeRows();
        if (hasColumns) emitter.lines.push(...along(emitter.scope(columns)));
      }) as string[];
    }
    const lines: string[] = [];
    // The bound comes from the uniform: drivers that unroll sixteen rows take seconds to compile them and gain nothing.
    const rowsOfRun = this.words.named("run", run);
    const rowHead = [`let row = strip * ${run}u + r;`, ...decodeRow];
    if (this.levels.length > 0 || inRow.length > 0) {
      const first = emitter.scope(() => {
        reduce();
        storeRows();
        this.keptValues.forEach((v, k) => {
          emitter.lines.push(`keep(${k}u, r, ${emitter.at(v, this.rowCoords)}, lid);`);
        });
      });
      lines.push(
        `for (var team = 0u; team < ${rowsOfRun}; team += TEAMS) {`,
        ...indent(["let r = row_of(team, lid);", ...rowHead, ...first]),
        "}",
        ...(this.levels.length > 0 ? ["sync();"] : []),
      );
    }
    const sums = partials.map(() => `s${this.next++}`);
    const inRun = emitter.scope(() => {
      this.keptValues.forEach((v, k) => {
        emitter.define(v, this.rowCoords, `kept(${k}u, r)`);
      });
      storeColumns();
      partials.forEach(({ value }, k) => {
        emitter.lines.push(`${sums[k]} += ${summand(value)};`);
      });
    });
    lines.push(
      ...[
        ...across([
          ...sums.map((s, k) => `var ${s} = ${literal(0, partials[k]!.value.type.dtype)};`),
          `for (var r = 0u; r < ${rowsOfRun}; r++) {`,
          ...indent([...rowHead, ...inRun]),
          "}",
          ...partials.map(({ binding }, k) => `b${binding}[strip * ${length} + c] = ${sums[k]};`),
        ]),
      ],
    );
    return lines;
  }

  /** The value behind renames. */
  private behind(v: Value): Value {
    const node = this.region.body.nodes.find((n) => n.outputs[0] === v);
    return node?.op === "rename" ? this.behind(node.inputs[0]!) : v;
  }

  private kindOf(v: Value): "row" | "full" | "partial" {
    const node = this.region.body.nodes.find((n) => n.outputs[0] === this.behind(v));
    if (node?.op === "sum_runs") return "partial";
    return space(v.type.shape) === this.rowSpace ? "row" : "full";
  }
}

const indent = (lines: readonly string[]): string[] => lines.map((l) => `  ${l}`);
/** The one value of four. */
const ofFour = (node: Node, x: string): string =>
  node.op === "max" ? `max(max(${x}.x, ${x}.y), max(${x}.z, ${x}.w))` : `${x}.x + ${x}.y + ${x}.z + ${x}.w`;
const identity = (node: Node): string => (node.op === "max" ? "-3.4028234663852886e38f" : "0.0");

/** `size / by`, which divides one of its factors. */
const divided = (size: Size, by: number): Size => (typeof size === "number" ? size / by : size.map((c) => c / by));

/** Reductions by how many others stand before them. */
function levelsOf(region: Region): (readonly Node[])[] {
  const level = new Map<Value, number>();
  const out: Node[][] = [];
  for (const node of region.body.nodes) {
    const before = Math.max(0, ...node.inputs.map((v) => level.get(v) ?? 0));
    if (isReduction(node)) {
      out[before] ??= [];
      out[before]!.push(node);
      level.set(node.outputs[0]!, before + 1);
    } else for (const v of node.outputs) level.set(v, before);
  }
  return out;
}
