// The results as Markdown: a table for each work and adapter, and what the ratios come to.
import { ms } from "../statistics.mjs";

const head = [
  ...["program", "load s", "first run s", "median ms", "spread", "× ours", "CPU ms", "GFLOP/s"],
  ...["dispatches", "submits", "pipelines", "peak MB", "page KB", "plain kernel ms", "differs by"],
];

export function peersReport(results) {
  return results.map(section).join("\n\n");
}

function section({ work, batch, macs, adapter, programs }) {
  const ours = programs[0];
  const rows = programs.map((program) => row(program, ours, macs));
  const lines = [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
  const title = `### ${work}, batch ${batch}, on ${ours.adapter ?? adapter}`;
  return [title, lines.join("\n"), ...notes(programs, ours)].join("\n\n");
}

function row(p, ours, macs) {
  const name = `${p.peer} ${p.version ?? ""}${p.gpu ? "" : `, on ${p.where ?? "the CPU"}`}`;
  if (p.failed) return [name, ...head.slice(1, -1).map(() => ""), "does not run"];
  const seconds = (time) => (time / 1000).toPrecision(2);
  const differs = Math.max(...p.check.map(({ relative }) => relative ?? Number.POSITIVE_INFINITY));
  const timed = p.wrong
    ? ["", "", "", "", ""]
    : [
        ...[ms(p.medianMs), `${Math.round(p.spread * 100)} %`, ratio(p.medianMs, ours)],
        ...[ms(p.cpuMs), ((2e-6 * macs) / p.medianMs).toPrecision(3)],
      ];
  return [
    ...[name, seconds(p.loadMs), seconds(p.firstMs), ...timed],
    ...[p.dispatches, p.submits, p.pipelines].map((n) => String(n ?? "")),
    p.peakBytes ? (p.peakBytes / 1e6).toFixed(0) : "",
    p.downloadBytes ? (p.downloadBytes / 1e3).toFixed(0) : "",
    p.referenceBeforeMs === undefined ? "" : `${ms(p.referenceBeforeMs)} → ${ms(p.referenceAfterMs)}`,
    `${p.wrong ? "wrong, " : ""}${differs.toExponential(0)}`,
  ];
}

const ratio = (time, { medianMs }) => (medianMs === undefined ? "" : (time / medianMs).toFixed(2));

/** Why a program has no time, and the figure that all this is for. */
function notes(programs, ours) {
  const failed = programs.filter((p) => p.failed).map((p) => `${p.peer}: ${p.failed}`);
  const wrong = programs
    .filter((p) => p.wrong)
    .map((p) => `${p.peer} is wrong: ${[...p.check.map(difference), ...(p.errors ?? [])].join("; ")}`);
  const fastest = programs
    .filter((p) => p !== ours && p.gpu && p.medianMs !== undefined)
    .toSorted((a, b) => a.medianMs - b.medianMs)[0];
  const sum =
    fastest && ours.medianMs
      ? [`The fastest other through WebGPU, ${fastest.peer}, takes ${ratio(fastest.medianMs, ours)} × our time.`]
      : [];
  return [...failed, ...wrong, ...sum];
}

const difference = ({ name, maxAbs, relative, limit }) =>
  relative === null
    ? `${name} is not all numbers, or of another size`
    : `${name} differs by ${maxAbs.toExponential(1)}, ${relative.toExponential(1)} of its largest value (limit ${limit})`;
