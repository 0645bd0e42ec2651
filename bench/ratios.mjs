// Two ways to do the same work, or work and what it is held against: timed in turn, and how many times the second's time the first takes.
// The ratio is told twice: by the clock, and, on adapters that are a CPU, by the processor time of this process, which a machine with other
// work to do shifts less.
import { ms, statistics, table } from "./statistics.mjs";

/** Each way twice to warm up and find how often it has to run, then `runs` rounds. Ways give milliseconds of the clock and of processors. */
export async function inTurn(ways, runs) {
  for (const once of [...ways, ...ways]) await once();
  const times = ways.map(() => []);
  for (let round = 0; round < runs; round++) for (const [i, once] of ways.entries()) times[i].push(await once());
  return {
    found: times.map((of) => ({
      ...statistics(of.map((t) => t.ms)),
      cpuMs: statistics(of.map((t) => t.cpuMs)).medianMs,
    })),
  };
}

const percent = (part) => `${Math.round(100 * part)} %`;

/** A row for each work: both ways, the ratio of the medians, and whether it is within the goal. */
export function ratiosReport({ name, driver, adapter, ways, rows }) {
  const head = [name, ...ways.flatMap((way) => [`${way}, ms`, "spread"]), "ratio", "by CPU", "goal", ""];
  const lines = rows.map(({ what, found, goal }) => {
    const [mine, other] = found;
    const ratio = mine.medianMs / other.medianMs;
    return [
      what,
      ...found.flatMap(({ medianMs, spread }) => [ms(medianMs), percent(spread)]),
      ratio.toFixed(2),
      driver === "hardware" ? "" : (mine.cpuMs / other.cpuMs).toFixed(2),
      goal.toFixed(2),
      ratio <= goal ? "met" : "not met",
    ];
  });
  return `${name} on ${adapter}\n\n${table([head, ...lines])}`;
}
