/** Readers of option values, for commander. */
import { readFileSync } from "node:fs";
import { Option } from "commander";
import { fail } from "../diagnostics/diagnostic.js";

/** What it means is said once, in io.ts. */
export const jsonOption = (): Option => new Option("--json", "print one JSON value, also for an error");

export const whichOption = (): Option =>
  new Option("--which <part>", "of a training: the average of the weights, or the weights themselves")
    .choices(["ema", "model"])
    .default("ema");

/** A repeatable option. */
export const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

/** A repeatable option whose value may be a list: `-e forward,train_step`. */
export const commaList = (value: string, before: readonly string[] = []): string[] => [
  ...before,
  ...value.split(",").map((part) => part.trim()),
];

/** A whole number from `least` (default 1). */
export const wholeNumber =
  (option: string, least = 1) =>
  (text: string): number => {
    const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    return Number.isSafeInteger(n) && n >= least
      ? n
      : fail("DIT7001", `${option} ${text}: expected a whole number from ${least}`);
  };

/** A number above 0. */
export const positiveNumber =
  (option: string) =>
  (text: string): number => {
    const n = /^\d+(\.\d+)?(e[+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN;
    return Number.isFinite(n) && n > 0 ? n : fail("DIT7001", `${option} ${text}: expected a number above 0`);
  };

/** `key=value` texts of a repeatable option; the last of a key counts. */
export const pairs = (option: string, texts: readonly string[], form = "key=value"): Record<string, string> =>
  Object.fromEntries(
    texts.map((text): [string, string] => {
      const [, key, value] = /^([^=]+)=(.+)$/.exec(text) ?? fail("DIT7001", `${option} ${text}: expected ${form}`);
      return [key!.trim(), value!.trim()];
    }),
  );

export const checkOption = (what: string): Option =>
  new Option(
    "--check <how>",
    `sampled: computes 64 outputs of each dispatch${what} again, in f64, and ends with an error when one is wrong; slow`,
  ).choices(["sampled"]);

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/**
 * A budget of GPU memory, held against the exact plan: whoever compiles fits the program to it first, whoever runs a bundle can only
 * refuse. `how` says which.
 */
export const memoryOption = (how: string): Option =>
  new Option("--memory <bytes>", `${how}, like 1.5GiB`).argParser(bytes("--memory"));

/** How numbers lie in memory. Without it nothing is said, so that a run's own configuration counts. `weights`: weights alone, too. */
export const dtypeOption = (weights = false): Option =>
  new Option(
    "--dtype <type>",
    `f16: store activations, and weights that nothing trains, in 16 bits; needs a device with shader-f16${weights ? "; f16-weights: these weights alone, on any device" : ""}; default: f32`,
  ).choices(["f32", "f16", ...(weights ? ["f16-weights"] : [])]);

export const FITS = "GPU memory that may be taken: as much is computed again instead of kept as makes it fit";
export const REFUSES = "refuse a program whose plan takes more GPU memory";

/** A number of bytes: 500000000, 512MiB, 1.5GiB. */
const bytes =
  (option: string) =>
  (text: string): number => {
    const [, number, unit = ""] = /^(\d+(?:\.\d+)?)(?:([KMGT])iB)?$/.exec(text) ?? [];
    const n = Math.floor(Number(number) * UNITS[unit]!);
    return Number.isSafeInteger(n) && n > 0 ? n : fail("DIT7001", `${option} ${text}: expected bytes, like 512MiB or 1.5GiB`);
  };

/** This package's own. */
export const packageVersion = (): string =>
  (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version;
