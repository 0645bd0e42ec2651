/**
 * What the demo must have reached, as sentences where it did not, and its figures as text.
 *
 * That the loss has fallen, and that the pictures of a class differ, is asked of every run. How many pictures get their class depends on
 * how many images a run has seen, which a slow driver in ten minutes may not: below ENOUGH_IMAGES the figure is held against what is
 * usual, and only said.
 */
import type { Measures } from "./measure.js";
import type { LossRecord } from "./record.js";

export interface Outcome {
  /** Training images seen, repetitions counted. */
  readonly images: number;
  /** Of the first step, and the mean of the last few. */
  readonly loss: { readonly first: number; readonly last: number };
  readonly measures: Measures;
}

const ENOUGH_IMAGES = 80_000;
const ACCURACY = 0.6;
const WITHIN = 0.5;
const LOSS = 0.5;
/** Chance, before the first image; and what was measured after so many. */
const CHANCE = 0.1;
const MEASURED = { images: 87_000, accuracy: 0.74 };

/** Empty: all is reached. Conditions are written so that a NaN is a miss. */
export function judge({ images, loss, measures: { accuracy, within } }: Outcome): string[] {
  const missed: string[] = [];
  if (!(loss.last <= LOSS * loss.first)) {
    missed.push(`the loss is ${loss.last.toFixed(3)}; at most half of the first, ${loss.first.toFixed(3)}, is required`);
  }
  if (images >= ENOUGH_IMAGES && !(accuracy.samples >= ACCURACY)) {
    missed.push(`${percent(accuracy.samples)} of the pictures get their class; ${percent(ACCURACY)} are required`);
  }
  if (!(within.samples >= WITHIN * within.real)) {
    missed.push(
      `the distance between pictures of a class is ${within.samples.toFixed(2)}; at least half of ${within.real.toFixed(2)}, ` +
        "that between real ones, is required: the pictures are blurred means, or all alike",
    );
  }
  return missed;
}

/** A table of the measures, and what to expect of a run that saw too few images for a requirement. */
export function figures({ images, measures }: Outcome): string[] {
  const { accuracy, nearest, within, distinct } = measures;
  const enough = images >= ENOUGH_IMAGES;
  const number = (x: number) => x.toFixed(2);
  const rows = [
    ["", "drawn", "real", ""],
    [
      "get their class from 5 nearest neighbours",
      percent(accuracy.samples),
      percent(accuracy.real),
      enough ? "required: 60 %" : "",
    ],
    ["median distance to a training image", number(nearest.samples), number(nearest.real), "far smaller than real: copies"],
    ["median distance within a class", number(within.samples), number(within.real), "required: half of the real one"],
    ["distinct pictures", percent(distinct.samples), percent(distinct.real), ""],
  ];
  const table = rows.map(([name, drawn, real, note]) =>
    `${name!.padEnd(42)}${drawn!.padStart(7)}${real!.padStart(7)}  ${note}`.trimEnd(),
  );
  if (enough) return table;
  return [
    ...table,
    `about ${percent(usual(images))} get their class after ${images.toLocaleString("en-US")} images; ` +
      `${percent(ACCURACY)} are required from ${ENOUGH_IMAGES.toLocaleString("en-US")} on, for which a faster driver or more time is needed`,
  ];
}

/** A straight line between chance and what was measured. */
function usual(images: number): number {
  return CHANCE + ((MEASURED.accuracy - CHANCE) * images) / MEASURED.images;
}

/** The first loss and the mean of the last few: a single batch is noisy. */
export function lossesOf(records: readonly LossRecord[]): Outcome["loss"] {
  const losses = records.map(({ loss }) => loss ?? Number.NaN);
  const last = losses.slice(-Math.max(1, Math.min(10, Math.floor(losses.length / 3))));
  return { first: losses[0] ?? Number.NaN, last: last.reduce((sum, x) => sum + x, 0) / last.length };
}

const percent = (x: number): string => `${Math.round(100 * x)} %`;
