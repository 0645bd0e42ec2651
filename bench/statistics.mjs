// Median, smallest and largest of some times in milliseconds, and how far they lie apart.
export function statistics(timesMs) {
  const sorted = timesMs.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const medianMs = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  const [minMs, maxMs] = [sorted[0], sorted.at(-1)];
  return { timesMs, medianMs, minMs, maxMs, spread: (maxMs - minMs) / medianMs };
}

/** A table whose first column leans left and whose others lean right. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row) => row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ");
  return rows.map((row) => line(row).trimEnd()).join("\n");
}

export const ms = (time) => (time === undefined ? "" : time >= 100 ? time.toFixed(0) : time.toPrecision(3));
