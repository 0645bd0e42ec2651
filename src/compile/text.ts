/** Text for people: tables with aligned columns, figures with thousands marked, JSON that can be read and compared by line. */

/** Columns of equal width; columns of numbers (`right`) stand at their right edge. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = [], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join("  ");
  return rows.map((row) => `${indent}${line(row)}`.trimEnd()).join("\n");
}

/** 675,129,632. */
export const whole = (n: number): string => n.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ",");

/** 2.53 GiB. */
export function size(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${units[unit]}`;
}

/** 118.64 G. */
export function count(n: number): string {
  const units = ["", " k", " M", " G", " T", " P"];
  let [value, unit] = [n, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 ? value : value.toFixed(2)}${units[unit]}`;
}

/** JSON whose small values keep a line each and whose large ones are opened up. */
export function readableJson(value: unknown, width = 160, indent = ""): string {
  const flat = JSON.stringify(value);
  if (flat.length <= width || typeof value !== "object" || value === null) return flat;
  const inner = `${indent}  `;
  const [open, close, lines] = Array.isArray(value)
    ? ["[", "]", value.map((item) => readableJson(item, width, inner))]
    : [
        "{",
        "}",
        Object.entries(value)
          .filter(([, item]) => item !== undefined)
          .map(([key, item]) => `${JSON.stringify(key)}: ${readableJson(item, width, inner)}`),
      ];
  return `${open}\n${lines.map((line) => inner + line).join(",\n")}\n${indent}${close}`;
}
