/** rows: reductions along rows with everything elementwise around them (normalisation, softmax, their gradients), and sums of runs of rows. */
import { evaluate } from "../../program/size.js";
import { type Family, type FamilyOptions, fnText, kernelText, type LoweredVariant } from "../kernel.js";
import type { Region } from "../region.js";
import { type RowsText, rowsText } from "../rows.js";
import { describe } from "./map.js";
import { threefryNeeds } from "./random.js";

/** Threads of a workgroup that goes along a row together, where the adapter's subgroups are not known. */
const GROUP = 64;
/** Rows up to this long are left to one thread each. */
const SHORT = 16;
/** Threads of one row where several go side by side, and how many rows that may be. */
const TEAM = 32;
const MOST_TEAMS = [8, 4, 2];
/** Subgroup widths that adapters have; one text is made for each. */
const widths = [4, 8, 16, 32];

export const rows: Family = {
  name: "rows",
  doc: "Rows: reductions along them, what is elementwise before, between and after, and sums of runs of rows.",
  lower: (region, options: FamilyOptions) => {
    if (region.kind !== "rows") return undefined;
    const text = rowsText(region, !options.safe);
    const strips = text.words.named("strips", text.strips);
    const make = (form: Form) => variant(region, text, strips, form);
    const thread = make({ name: "naive", file: "rows-thread", width: 1, threads: GROUP, tile: GROUP });
    const group = make({ name: "group", file: "rows-group", width: GROUP, threads: GROUP, tile: 1 });
    const subgroup = (s: number) =>
      make({ name: `subgroup-${s}`, file: "rows-subgroup", width: s, threads: s, tile: 1, subgroup: s });
    if (!text.reduces && !options.safe) {
      const columns = make({ name: "columns", file: "rows-columns", width: GROUP, threads: GROUP, tile: 1 });
      return { family: "rows", words: text.words, extent: [text.strips], variants: [columns] };
    }
    const short = evaluate(text.length, region.batch) <= SHORT;
    const guarded = [...teams(text.run, make), ...widths.map(subgroup)];
    const variants = options.safe || short ? [thread] : [...(options.variants ? guarded : []), group];
    return { family: "rows", words: text.words, extent: [text.strips], variants };
  },
};

/** On a GPU the rows of a run go side by side, as many at a time as divide it. */
function teams(run: number, make: (form: Form) => LoweredVariant): LoweredVariant[] {
  const most = MOST_TEAMS.find((n) => run % n === 0);
  if (most === undefined) return [];
  const form = make({ name: `teams-${most}`, file: "rows-teams", width: TEAM, threads: TEAM * most, tile: 1 });
  return [{ ...form, requires: { hardware: true } }];
}

/** What a form's file builds on: the threads' places in a row, and the memory of a run, which a thread alone has for itself. */
const librariesOf = ({ file }: Form): string[] => [
  ...(file === "rows-teams" ? [] : ["./kernels/rows-one-team.wgsl"]),
  ...(file === "rows-thread" || file === "rows-columns" ? [] : ["./kernels/rows-kept.wgsl"]),
];

interface Form {
  readonly name: string;
  readonly file: string;
  /** Threads that go along a row together. */
  readonly width: number;
  readonly threads: number;
  /** Strips of rows in a workgroup. */
  readonly tile: number;
  readonly subgroup?: number;
}

function variant(region: Region, rows: RowsText, strips: string, form: Form): LoweredVariant {
  const random = threefryNeeds(rows.emitter, region);
  const text = kernelText({
    title: `rows: ${describe(region.body.nodes.map((n) => n.op))}`,
    ...(form.subgroup ? { enables: ["enable subgroups;"] } : {}),
    bindings: region.bindings,
    vec4: rows.vec4,
    words: rows.words,
    consts: {
      WIDTH: `${form.width}u`,
      THREADS: `${form.threads}u`,
      TEAMS: `${form.name === "naive" ? 1 : form.threads / form.width}u`,
      RUN: `${rows.run}u`,
      KEPT: `${Math.max(1, rows.kept * rows.run)}u`,
    },
    sizes: { STRIPS: strips },
    hooks: random.hooks + fnText("rows(strip: u32, lid: u32)", rows.lines),
    file: `./kernels/${form.file}.wgsl`,
    libraries: [...random.libraries, ...librariesOf(form)],
  });
  const requires = form.subgroup ? { features: ["subgroups"], subgroupSize: form.subgroup } : {};
  return { name: form.name, requires, workgroupSize: form.threads, tile: [form.tile], text };
}
