/** A profile as the tables that the command prints. */
import { count, table } from "../compile/text.js";
import type { Profile } from "../profiler/profile.js";
import type { Roofline, Row } from "../profiler/work.js";

export function printProfile(profile: Profile, adapter: string | undefined): string {
  const { program, model, entry, batch, total, kernels, lines, roofline } = profile;
  const facts = [
    ["program", program],
    ["entry", `${entry}, batch ${batch}`],
    ["dispatches", `${total.dispatches}`],
    ["work", `${count(total.flops)}FLOP, ${count(total.bytes)}B`.replace(/(\d)(FLOP|B)/g, "$1 $2")],
    ...measuredFacts(profile, adapter),
    ...(adapter || !roofline ? [] : [["roofline", rates(roofline)]]),
    ...(total.leastMs === undefined ? [] : [["least time", `${ms(total.leastMs)} ms at those rates`]]),
  ];
  const rowsOf = (head: readonly string[], rows: readonly Row[]) =>
    table(
      [[...head, ...columns(profile)], ...[...rows, { ...total, name: "all", what: "" }].map((row) => cells(row, profile))],
      columns(profile).map((_, i) => i + 2),
    );
  return [
    model,
    "",
    table(facts),
    "",
    rowsOf(["kernel", adapter ? "variant" : ""], kernels),
    "",
    rowsOf(["source line", "what"], lines),
    "",
  ].join("\n");
}

const rates = ({ flopsPerSecond, bytesPerSecond }: Roofline): string =>
  `${digits(flopsPerSecond / 1e9)} GFLOP/s, ${digits(bytesPerSecond / 1e9)} GB/s`;

function measuredFacts({ measured, roofline, dispatches }: Profile, adapter: string | undefined): string[][] {
  if (!measured) return [];
  const { clock, tickNs, emptySubmitMs, runs, passMs } = measured;
  const sum = dispatches.reduce((total, dispatch) => total + dispatch.ms!, 0);
  const how =
    clock === "gpu"
      ? `the GPU's timestamps around each dispatch${tickNs === undefined ? "" : `, in steps of ${digits(tickNs)} ns`}`
      : `the host's, each dispatch alone between submits; submitting nothing takes ${ms(emptySubmitMs)} ms of each`;
  return [
    ["adapter", adapter ?? ""],
    ["ceilings", `${rates(roofline!)}: a kernel of multiply-adds and one that copies, the fastest of ${runs} runs among these`],
    ["clock", how],
    [
      "one pass",
      `${ms(sum)} ms, the sum of the dispatches' medians of ${runs}; ${ms(passMs)} ms in one submit, by the host's clock`,
    ],
  ];
}

function columns({ measured, roofline }: Profile): string[] {
  const work = ["runs", "MFLOP", "MB", "FLOP/B"];
  if (measured) return ["runs", "ms", "%", "MFLOP", "MB", "GFLOP/s", "FMA %", "GB/s", "copy %", "least ms", "bound"];
  return roofline ? [...work, "least ms", "%", "bound"] : work;
}

function cells(row: Row, { measured, roofline, total }: Profile): string[] {
  const { name, what, dispatches, flops, bytes, leastMs, bound } = row;
  const work = [digits(flops / 1e6), digits(bytes / 1e6)];
  const least = leastMs === undefined ? [] : [ms(leastMs)];
  if (measured) {
    const [flopRate, byteRate] = [(1e3 * flops) / row.ms!, (1e3 * bytes) / row.ms!];
    return [
      ...[name, shortened(what), String(dispatches), ms(row.ms!), percent(row.ms! / total.ms!), ...work],
      ...[digits(flopRate / 1e9), percent(flopRate / roofline!.flopsPerSecond)],
      ...[digits(byteRate / 1e9), percent(byteRate / roofline!.bytesPerSecond), ...least, bound!],
    ];
  }
  const share = leastMs === undefined ? [] : [percent(leastMs / total.leastMs!), bound!];
  return [name, shortened(what), String(dispatches), ...work, bytes > 0 ? digits(flops / bytes) : "", ...least, ...share];
}

const shortened = (text: string): string => (text.length > 40 ? `${text.slice(0, 39)}…` : text);

/** Three of them, never as a power of ten. */
const digits = (n: number): string => (n === 0 ? "0" : n >= 100 ? n.toFixed(0) : n.toFixed(Math.max(0, 2 - magnitude(n))));
const magnitude = (n: number): number => Math.max(-3, Math.floor(Math.log10(n)));

const ms = (n: number): string => digits(n);

const percent = (part: number): string => `${(100 * part).toFixed(part < 0.0995 ? 1 : 0)}`;
