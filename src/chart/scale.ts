/**
 * Axes: where a value lies between the ends of an axis, and which round values are marked on it.
 *
 * Linear ticks are multiples of 1, 2 or 5 times a power of ten. A log axis is taken for positive values that span a factor of SPAN or
 * more; it marks the powers of ten, and 2 and 5 times them where few powers fit.
 */

export interface Tick {
  readonly value: number;
  readonly label: string;
}

export interface Scale {
  readonly log: boolean;
  readonly ticks: readonly Tick[];
  /** 0 at the lower end of the axis, 1 at the upper. */
  readonly at: (value: number) => number;
}

/** From this ratio of the largest to the smallest value on, a linear axis squeezes the small ones. */
const SPAN = 6;

/** An axis with exactly these ends, and about so many ticks. */
export function linearScale(low: number, high: number, about: number): Scale {
  const step = roundStep((high - low) / about);
  // Multiples are made from whole numbers: adding up steps would drift.
  const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  const values = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
  return {
    log: false,
    ticks: values.map((value) => ({ value, label: linearLabel(value, step, Math.max(Math.abs(low), Math.abs(high))) })),
    at: (value) => (value - low) / (high - low),
  };
}

/** An axis for what lies between two values, with a little room at both ends; logarithmic where that helps and `linear` does not forbid it. */
export function scaleFor(low: number, high: number, about: number, linear = false): Scale {
  if (!linear && low > 0 && high / low >= SPAN) return logScale(low, high, about);
  const room = high > low ? 0.06 * (high - low) : 0.1 * Math.abs(high) || 1;
  // What cannot be negative shows no negative room.
  return linearScale(low >= 0 ? Math.max(0, low - room) : low - room, high + room, about);
}

function logScale(low: number, high: number, about: number): Scale {
  const [from, to] = [Math.log10(low), Math.log10(high)];
  const room = 0.06 * (to - from);
  const [bottom, top] = [from - room, to + room];
  const decades = top - bottom;
  const factors = 3 * decades <= 2 * about + 2 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil(decades / about));
  const ticks: Tick[] = [];
  for (let power = Math.floor(bottom); power <= top; power++) {
    if (power % every !== 0) continue;
    for (const factor of factors) {
      const place = power + Math.log10(factor);
      if (place < bottom || place > top) continue;
      const value = Number(`${factor}e${power}`);
      ticks.push({ value, label: plainOrPower(value, power < -3 || power > 3) });
    }
  }
  return { log: true, ticks, at: (value) => (Math.log10(value) - bottom) / decades };
}

/** The next of 1, 2, 5, 10, … times a power of ten. */
function roundStep(least: number): number {
  const power = Math.floor(Math.log10(least));
  const factor = [1, 2, 5, 10].find((f) => f * 10 ** power >= least * (1 - 1e-9))!;
  return Number(`${factor}e${power}`);
}

function linearLabel(value: number, step: number, most: number): string {
  if (value === 0) return "0";
  if (most >= 1e9 || step < 1e-4) return plainOrPower(value, true);
  for (const [unit, letter] of [
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (most >= 10 * unit || (most >= unit && step >= unit)) return `${Number((value / unit).toPrecision(6))}${letter}`;
  }
  return value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
}

const plainOrPower = (value: number, power: boolean): string =>
  power ? Number(value.toPrecision(6)).toExponential().replace("+", "") : String(Number(value.toPrecision(6)));
