/** Tables of a run's page, and how it writes numbers. */
import { escapeXml } from "../chart/svg.js";

/** What the page shows of a compile report (`src/compile/report.ts`); this room does not know the compiler. */
export interface CompileReport {
  readonly parameters: number;
  readonly trainable: number;
  readonly gflops?: number;
  readonly batch: number;
  readonly kernels: number;
  readonly entries: readonly {
    readonly name: string;
    readonly dispatches: number;
    readonly kernels: number;
    readonly macs: number;
    readonly peakTotal: number;
  }[];
  readonly peakBytes: Readonly<Partial<Record<string, number>>>;
  readonly peakTotal: number;
}

export const whole = (n: number): string => n.toLocaleString("en-US", { maximumFractionDigits: 0 });

/** Four digits: more than a loss is worth, and enough to compare two. */
export function digits(x: number): string {
  if (x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e6)) return x.toExponential(2).replace("+", "");
  return Math.abs(x) >= 1000 ? whole(x) : String(Number(x.toPrecision(4)));
}

export function duration(seconds: number): string {
  const [unit, name] = seconds < 100 ? [1, "s"] : seconds < 100 * 60 ? [60, "min"] : [3600, "h"];
  return `${digits(Number((seconds / unit).toFixed(1)))} ${name}`;
}

export function fileSize(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const number = bytes / 1024 ** power;
  return `${power === 0 || number >= 100 ? whole(number) : number.toPrecision(3)} ${["bytes", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

/** A table of facts: names and values. */
export const pairsTable = (rows: readonly (readonly [string, string])[]): string =>
  tableOf(
    "pairs",
    "",
    rows.map((row) => tableRow(row, false)),
  );

/** A table of numbers, whose first row is its head and whose first column names the rows. */
export const numbersTable = ([head, ...rows]: readonly (readonly string[])[]): string =>
  tableOf(
    "numbers",
    `<thead>${tableRow(head!, true)}</thead>`,
    rows.map((row) => tableRow(row, false)),
  );

const tableOf = (kind: string, head: string, rows: readonly string[]): string =>
  `<div class="wide"><table class="${kind}">${head}<tbody>\n${rows.join("\n")}\n</tbody></table></div>`;

function tableRow(row: readonly string[], isHead: boolean): string {
  const cells = row.map((text, i) => {
    const [tag, scope] = isHead ? ["th", ' scope="col"'] : i === 0 ? ["th", ' scope="row"'] : ["td", ""];
    return `<${tag}${scope}>${escapeXml(text)}</${tag}>`;
  });
  return `<tr>${cells.join("")}</tr>`;
}

/** Keys and values, those of objects within with dotted keys. */
export function configRows(config: Readonly<Record<string, unknown>>, prefix = ""): [string, string][] {
  return Object.entries(config).flatMap(([key, value]) => {
    const name = prefix + key;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return configRows(value as Record<string, unknown>, `${name}.`);
    }
    return [[name, typeof value === "string" ? value : (JSON.stringify(value) ?? "")]];
  });
}

export function compileSection(report: CompileReport): string {
  const { parameters, trainable, gflops, kernels, batch, peakTotal } = report;
  const facts: [string, string][] = [
    ["parameters", whole(parameters) + (trainable === parameters ? "" : `, ${whole(trainable)} of them trained`)],
    ["kernels", whole(kernels)],
    ["memory", `${fileSize(peakTotal)} for all entries at a batch of ${whole(batch)}`],
  ];
  if (gflops !== undefined) {
    const counted = "10⁹ multiply-adds of one forward pass of one sample, as the paper counts";
    facts.splice(1, 0, ["Gflops", `${Number(gflops.toPrecision(3))} (${counted})`]);
  }
  const work = report.entries.map((entry) => {
    const { name, dispatches, macs } = entry;
    return [name, whole(dispatches), whole(entry.kernels), `${digits(macs / 1e9)} · 10⁹`, fileSize(entry.peakTotal)];
  });
  const kinds = Object.entries(report.peakBytes).flatMap(([kind, bytes]) =>
    bytes ? [[kind, fileSize(bytes), whole(bytes)]] : [],
  );
  return [
    pairsTable(facts),
    "<h3>Entries</h3>",
    numbersTable([["entry", "dispatches", "kernels", "multiply-adds", "peak memory"], ...work]),
    "<h3>Memory by kind</h3>",
    numbersTable([["kind", "size", "bytes"], ...kinds]),
  ].join("\n");
}
