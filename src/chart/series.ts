/**
 * What is drawn of a long row of numbers: runs without gaps, thinned to what a pixel column can show, and a smoothed companion.
 *
 * Thinning keeps of each pixel column the first, the least, the greatest and the last value, in their order: drawn as a line, that is the
 * picture that all values would give.
 */

/** Values of one kind along a run; null where one is not finite. */
export interface Series {
  readonly steps: readonly number[];
  readonly values: readonly (number | null)[];
}

/** Indices of values, in order, without a gap between them that could be seen. */
export type Run = readonly number[];

/** `column` gives the pixel column of a step. */
export function runsOf({ steps, values }: Series, column: (step: number) => number): Run[] {
  const runs: number[][] = [];
  let open: number[] | undefined;
  values.forEach((value, i) => {
    if (value === null) {
      // A gap narrower than a pixel is none; the mark of it still shows.
      const here =
        open && Math.floor(column(steps[open.at(-1)!]!)) === Math.floor(column(steps[i + 1] ?? Number.POSITIVE_INFINITY));
      if (!here) open = undefined;
      return;
    }
    if (!open) {
      open = [];
      runs.push(open);
    }
    open.push(i);
  });
  return runs.map((run) => thin(run, values, (i) => Math.floor(column(steps[i]!))));
}

function thin(run: readonly number[], values: Series["values"], column: (i: number) => number): number[] {
  const kept: number[] = [];
  for (let from = 0; from < run.length; ) {
    const here = column(run[from]!);
    let to = from;
    let [least, most] = [run[from]!, run[from]!];
    for (; to < run.length && column(run[to]!) === here; to++) {
      const i = run[to]!;
      if (values[i]! < values[least]!) least = i;
      if (values[i]! > values[most]!) most = i;
    }
    const marks = [run[from]!, least, most, run[to - 1]!].sort((a, b) => a - b);
    kept.push(...marks.filter((i, place) => place === 0 || i !== marks[place - 1]));
    from = to;
  }
  return kept;
}

/** Steps with a value that is not finite, one for each pixel column. */
export function gapsOf({ steps, values }: Series, column: (step: number) => number): number[] {
  const seen = new Set<number>();
  return steps.filter((step, i) => {
    if (values[i] !== null) return false;
    const place = Math.floor(column(step));
    return !seen.has(place) && seen.add(place) !== undefined;
  });
}

/** Records on either side whose mean the smoothed line takes. */
export const reachOf = (count: number): number => Math.floor(count / 50);

/**
 * A moving mean, taken twice so that a single value leaves no step in it. It looks to both sides alike, so it lags behind nothing; it
 * begins at the first value (a loss falls fastest there) and its end is the mean of what is behind.
 */
export function smooth(values: Series["values"]): (number | null)[] {
  const reach = reachOf(values.length);
  return reach === 0 ? [...values] : movingMean(movingMean(values, reach), reach);
}

function movingMean(values: Series["values"], reach: number): (number | null)[] {
  const sums = new Float64Array(values.length + 1);
  const counts = new Uint32Array(values.length + 1);
  values.forEach((value, i) => {
    sums[i + 1] = sums[i]! + (value ?? 0);
    counts[i + 1] = counts[i]! + (value === null ? 0 : 1);
  });
  return values.map((value, i) => {
    if (value === null) return null;
    const from = Math.max(0, i - reach);
    const to = Math.min(values.length, i + Math.min(reach, i) + 1);
    return (sums[to]! - sums[from]!) / (counts[to]! - counts[from]!);
  });
}
