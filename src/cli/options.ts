/** Readers of option values, for commander. */
import { fail } from "../diagnostics/diagnostic.js";

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

/** `key=value` texts of a repeatable option; the last of a key counts. */
export const pairs = (option: string, texts: readonly string[], form = "key=value"): Record<string, string> =>
  Object.fromEntries(
    texts.map((text): [string, string] => {
      const [, key, value] = /^([^=]+)=(.+)$/.exec(text) ?? fail("DIT7001", `${option} ${text}: expected ${form}`);
      return [key!.trim(), value!.trim()];
    }),
  );
