// Two ways to do the same work, or work and what it is held against: timed in turn, and how many times the second's time the first takes.
// The ratio is told twice: by the clock, and, on adapters that are a CPU, by the processor time of this process, which a machine with other
// work to do shifts less.
import { ms, statistics, table } from "./statistics.mjs";

/**
 * Devices that a kernel is compiled on where an adapter is a CPU, all there at once. The same text runs up to an eighth faster or slower on
 * SwiftShader from one time that it is compiled to the next; on lavapipe about one device of twelve makes it a tenth to a half slower for as long
 * as it is there (128 × 384 × 64: 12 of 144; the kernel that measures the ceiling too), and often the next one that takes its place. The buffers
 * and the moment are not what it depends on; perhaps where code comes to lie is.
 */
export const DEVICES = 3;

/**
 * Two ways: each twice to warm up and find how often it has to run, then `runs` rounds of both, of which every other begins with the second.
 * Ways give milliseconds of the clock and of processors. A clock may change its rate at any time: so the ratio is the median of the rounds' own,
 * not that of two medians, which may be of rounds at different rates.
 */
export async function inTurn(ways, runs) {
  for (const once of [...ways, ...ways]) await once();
  const rounds = [];
  for (let round = 0; round < runs; round++) {
    const both = [];
    for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) both[i] = await ways[i]();
    rounds.push(both);
  }
  return overRounds(rounds);
}

/** What was found in rounds, for the report; rounds of several `inTurn` may be put together. */
export function overRounds(rounds) {
  const median = (of) => statistics(rounds.map(of)).medianMs;
  return {
    rounds,
    found: [0, 1].map((i) => ({ ...statistics(rounds.map((both) => both[i].ms)), cpuMs: median((both) => both[i].cpuMs) })),
    ratio: median(([mine, other]) => mine.ms / other.ms),
    cpuRatio: median(([mine, other]) => mine.cpuMs / other.cpuMs),
  };
}

const percent = (part) => `${Math.round(100 * part)} %`;

/** A row for each work: both ways, the median ratio, and whether it is within the goal. */
export function ratiosReport({ name, driver, adapter, ways, rows }) {
  const head = [name, ...ways.flatMap((way) => [`${way}, ms`, "spread"]), "ratio", "by CPU", "goal", ""];
  const lines = rows.map(({ what, found, ratio, cpuRatio, goal }) => [
    what,
    ...found.flatMap(({ medianMs, spread }) => [ms(medianMs), percent(spread)]),
    ratio.toFixed(2),
    driver === "hardware" ? "" : cpuRatio.toFixed(2),
    goal.toFixed(2),
    ratio <= goal ? "met" : "not met",
  ]);
  return `${name} on ${adapter}\n\n${table([head, ...lines])}`;
}
