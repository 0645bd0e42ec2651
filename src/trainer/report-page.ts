/**
 * report.html of a run's folder: what a person asks of a run, in the order in which they ask. How far is it and how good (figures), does
 * it learn (curve), what does it draw (grids of samples in time), what was it asked for (configuration), what was compiled (report).
 *
 * One file that opens from the disk: no network, no file beside it but the grids. It reads well without its script, which only adds a
 * slider over the grids. Everything that comes from outside is escaped.
 */
import { escapeXml } from "../chart/svg.js";
import { type CurveRecord, curveSvg } from "./curve.js";
import { pageScript, pageStyle } from "./report-style.js";
import {
  type CompileReport,
  compileSection,
  configRows,
  digits,
  duration,
  fileSize,
  numbersTable,
  pairsTable,
  whole,
} from "./report-tables.js";

export interface PageRecord extends CurveRecord {
  readonly imagesPerSecond?: number;
  /** Of training, since the first step. */
  readonly seconds?: number;
  /** Resident bytes of the process. */
  readonly memory?: number;
  /** Steps so far that were not finite and changed nothing. */
  readonly skipped?: number;
}

export interface ReportPage {
  readonly title: string;
  /** In the order of their steps. */
  readonly records: readonly PageRecord[];
  /** Grids of samples by step, and their files as seen from the page. */
  readonly grids: readonly { readonly step: number; readonly file: string }[];
  /** The resolved configuration, as in train.json. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly compileReport?: CompileReport | undefined;
  readonly adapter?: string | undefined;
  /** What the data's licence asks for. */
  readonly attribution?: string | undefined;
  readonly finished: boolean;
}

/** The page as HTML. */
export function reportPage(page: ReportPage): string {
  const title = escapeXml(page.title);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}: training run</title>
<style>
${pageStyle}
</style>
</head>
<body>
<header>
<h1>${title}</h1>
<p>${status(page)}</p>
</header>
<main>
<section aria-label="Figures">
<dl class="figures">
${figures(page)
  .map(([name, value, note]) => `<div><dt>${name}</dt><dd>${escapeXml(value)}<small>${escapeXml(note)}</small></dd></div>`)
  .join("\n")}
</dl>
</section>
${section("Loss", `<div class="wide">${curveSvg(page.records)}</div>${recordsTable(page.records)}`)}
${page.grids.length === 0 ? "" : section("Samples", gridsOf(page.grids))}
${section("Configuration", pairsTable(configRows(page.config)))}
${page.compileReport ? section("Compiled program", compileSection(page.compileReport)) : ""}
${page.attribution ? section("Data", `<pre>${escapeXml(page.attribution.trim())}</pre>`) : ""}
</main>
<script>
${pageScript}
</script>
</body>
</html>
`;
}

const section = (title: string, content: string): string => {
  const id = title.toLowerCase().replaceAll(" ", "-");
  return `<section aria-labelledby="${id}">\n<h2 id="${id}">${title}</h2>\n${content}\n</section>`;
};

function status({ records, config, adapter, finished }: ReportPage): string {
  const planned = typeof config.steps === "number" ? ` of ${whole(config.steps)}` : "";
  const badge = finished ? '<span class="state done">finished</span>' : '<span class="state open">running, or ended early</span>';
  return `${badge} ${whole(records.at(-1)?.step ?? 0)}${planned} steps${adapter ? `, on ${escapeXml(adapter)}` : ""}`;
}

/** Names, values and notes. */
function figures({ records, config }: ReportPage): [string, string, string][] {
  const last = records.at(-1);
  if (!last) return [["steps", "0", "nothing has been recorded yet"]];
  const finite = records.filter(({ loss }) => Number.isFinite(loss));
  const recent = finite.slice(-Math.max(1, Math.min(10, Math.floor(finite.length / 3))));
  const loss = recent.reduce((sum, record) => sum + record.loss!, 0) / recent.length;
  const ofLast = Number.isFinite(last.loss) ? digits(last.loss!) : "not finite";
  const found: [string, string, string][] = [
    [
      "loss",
      finite.length === 0 ? "not finite" : digits(loss),
      recent.length > 1 ? `mean of ${recent.length}, the last ${ofLast}` : "",
    ],
    ["steps", whole(last.step), typeof config.steps === "number" ? `of ${whole(config.steps)}` : ""],
  ];
  if (typeof config.batch === "number") {
    const batch = config.batch * (typeof config.accumulate === "number" ? config.accumulate : 1);
    found.push(["images seen", whole(last.step * batch), `${whole(batch)} a step`]);
  }
  if (last.seconds !== undefined) found.push(["time", duration(last.seconds), "of training alone"]);
  if (last.imagesPerSecond !== undefined) found.push(["images a second", digits(last.imagesPerSecond), "lately"]);
  if (last.gradientNorm !== undefined) {
    const skipped = last.skipped ? `${whole(last.skipped)} steps changed nothing` : "";
    found.push(["gradient norm", last.gradientNorm === null ? "not finite" : digits(last.gradientNorm), skipped]);
  }
  if (last.memory !== undefined) found.push(["memory", fileSize(last.memory), "of the process"]);
  return found;
}

/** The last one large, all of them in a row that scrolls; the script lets a slider choose. */
function gridsOf(grids: ReportPage["grids"]): string {
  const last = grids.at(-1)!;
  const picture = (i: number, attributes: string) => {
    const { step, file } = grids[i]!;
    return `<img src="${escapeXml(urlOf(file))}" alt="samples at step ${whole(step)}" ${attributes}>`;
  };
  const strip = grids.map(({ step, file }, i) => {
    const link = `<a href="${escapeXml(urlOf(file))}" data-step="${whole(step)}">${picture(i, 'loading="lazy"')}</a>`;
    return `<li>${link}<span>${whole(step)}</span></li>`;
  });
  return `<figure class="grid" id="grid">
${picture(grids.length - 1, 'id="grid-image"')}
<figcaption>step <output id="grid-step">${whole(last.step)}</output></figcaption>
<input id="grid-slider" type="range" min="0" max="${grids.length - 1}" value="${grids.length - 1}" aria-label="which grid of samples" hidden>
</figure>
<ol class="strip" aria-label="all grids, by step">
${strip.join("\n")}
</ol>`;
}

/** A relative path as a URL: a folder's name may hold what URLs give a meaning to. */
const urlOf = (file: string): string => file.split(/[\\/]/).map(encodeURIComponent).join("/");

/** The curve's figures for who cannot see it, thinned to what can be read. */
function recordsTable(records: readonly PageRecord[]): string {
  if (records.length === 0) return "";
  const rows = Math.min(records.length, 20);
  const picked = Array.from(
    { length: rows },
    (_, i) => records[rows === 1 ? 0 : Math.round((i * (records.length - 1)) / (rows - 1))]!,
  );
  const columns = (
    [
      ["loss", "loss"],
      ["mse", "mse"],
      ["vb", "vb"],
      ["gradientNorm", "gradient norm"],
      ["learningRate", "learning rate"],
      ["imagesPerSecond", "images/s"],
    ] as const
  ).filter(([key]) => picked.some((record) => record[key] !== undefined));
  const cell = (x: number | null | undefined) => (x === undefined ? "" : x === null ? "not finite" : digits(x));
  const body = picked.map((record) => [whole(record.step), ...columns.map(([key]) => cell(record[key]))]);
  return `<details><summary>Figures of the curve</summary>${numbersTable([["step", ...columns.map(([, name]) => name)], ...body])}</details>`;
}
