/**
 * Is this JSON a Program at all? A bundle may come from anywhere, so its shape is checked before anything in it is believed.
 *
 * The checks are small functions put together the way the types are: `record({ name: text, tile: list(count) })`. They collect
 * sentences with a path ("entries[0].segments[1].repeat is 0, expected …") instead of throwing at the first. No library: this file
 * ships in web bundles.
 */
import { shown } from "./shown.js";

/** Receives one sentence for each thing that is wrong. */
export type Say = (problem: string) => void;
/** True when the value is fine; says why when not. */
type Check = (value: unknown, at: string, say: Say) => boolean;

const test =
  (expected: string, good: (value: unknown) => boolean): Check =>
  (value, at, say) => {
    if (good(value)) return true;
    say(value === undefined ? `${at} is missing, expected ${expected}` : `${at} is ${shown(value)}, expected ${expected}`);
    return false;
  };

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const text = test("text", (value) => typeof value === "string");
const number = test("a number", (value) => typeof value === "number" && Number.isFinite(value));
const count = test("a whole number from 0", isCount);
const positive = test("a whole number from 1", (value) => isCount(value) && value > 0);
const flag = test("true or false", (value) => typeof value === "boolean");
const scalar = test("a number, text, true or false", (value) => ["number", "string", "boolean"].includes(typeof value));
const oneOf = (...names: string[]): Check => test(names.join(" or "), (value) => names.includes(value as string));

/** Coefficients stay below 2^53 and few, so that evaluating a size is cheap and exact where it matters. */
const size = test("a size: a whole number, or a list of up to 8 of them", (value) =>
  Array.isArray(value)
    ? value.length > 0 && value.length <= 8 && value.every(Number.isSafeInteger)
    : Number.isSafeInteger(value));

const list =
  (each: Check, least = 0): Check =>
  (value, at, say) => {
    if (!Array.isArray(value)) return test("a list", Array.isArray)(value, at, say);
    if (value.length < least) return test(`a list of at least ${least}`, () => false)(value, at, say);
    return value.map((item, i) => each(item, `${at}[${i}]`, say)).every(Boolean);
  };

const table =
  (each: Check): Check =>
  (value, at, say) => {
    if (!isObject(value)) return test("an object", isObject)(value, at, say);
    return Object.entries(value)
      .map(([key, item]) => each(item, `${at}.${key}`, say))
      .every(Boolean);
  };

/** Unknown fields are let through: a newer minor version may have more. */
const record =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value, at, say) => {
    if (!isObject(value)) return test("an object", isObject)(value, at, say);
    return Object.entries(fields)
      .map(([key, check]) => check(value[key], at === "" ? key : `${at}.${key}`, say))
      .every(Boolean);
  };

const maybe =
  (check: Check): Check =>
  (value, at, say) =>
    value === undefined || check(value, at, say);

/** A path inside the bundle: it must not lead out of it, in a folder or on a web server. */
const file = test("a path inside the bundle, like wgsl/matmul.wgsl", (value) => {
  if (typeof value !== "string") return false;
  return value.split("/").every((part) => /^[\w@+,=-][\w.@+,=-]*$/.test(part));
});

const kind = oneOf(
  ...(["input", "parameter", "moment1", "moment2", "ema", "accumulator", "gradient"] as const),
  ...(["state", "constant", "activation", "output"] as const),
);
const live: Check = (value, at, say) =>
  list(count)(value, at, say) &&
  test("[first, last]", (v) => Array.isArray(v) && v.length === 2 && (v[0] as number) <= (v[1] as number))(value, at, say);

const matrix = record({ component: text, result: text, m: positive, n: positive, k: positive });
const requirement = record({
  features: maybe(list(text)),
  matrix: maybe(matrix),
  subgroupSize: maybe(positive),
  limits: maybe(table(number)),
  hardware: maybe(flag),
});
const variant = record({ name: text, requires: requirement, file, workgroupSize: positive, tile: list(positive, 1) });
const port = record({
  name: text,
  dtype: oneOf("f32", "i32", "u32", "bool"),
  axes: list(text),
  shape: list(size),
  storage: count,
  kind: oneOf("input", "parameter", "constant", "state", "output"),
});
const work = record({ macs: size, flops: size, read: size, written: size });
const dispatch = record({
  kernel: count,
  bindings: list(count, 1),
  uniforms: list(size),
  extent: list(size, 1),
  label: text,
  work,
});

const init: Check = (value, at, say) => {
  const rules: Readonly<Record<string, Check>> = {
    xavier_uniform: record({ fanIn: positive, fanOut: positive }),
    normal: record({ std: number }),
    zeros: record({}),
    ones: record({}),
    table: record({ constant: text }),
  };
  if (!record({ rule: oneOf(...Object.keys(rules)) })(value, at, say)) return false;
  return rules[(value as { rule: string }).rule]!(value, at, say);
};

/** Whether `value` has the structure of a Program of a version we know; the version and format are the caller's to check. */
export const hasProgramStructure = (value: unknown, say: Say): boolean =>
  record({
    hash: text,
    model: record({ name: text, preset: text, config: table(scalar) }),
    profile: record({
      name: text,
      features: list(text),
      limits: table(number),
      subgroupSize: maybe(positive),
      variants: flag,
    }),
    batch: positive,
    storages: list(
      record({
        kind,
        name: text,
        bytes: size,
        within: maybe(record({ storage: count, offset: size })),
        entry: maybe(text),
        live: maybe(live),
      }),
    ),
    parameters: list(record({ name: text, shape: list(count), trainable: flag, init, storage: count })),
    constants: list(record({ name: text, dtype: oneOf("f32", "i32"), shape: list(count), offset: count, storage: maybe(count) })),
    kernels: list(
      record({
        name: text,
        family: text,
        access: list(oneOf("read", "read_write")),
        effects: maybe(list(oneOf("read", "write", "update"))),
        words: positive,
        variants: list(variant, 1),
      }),
    ),
    entries: list(
      record({
        name: text,
        inputs: list(port),
        outputs: list(port),
        segments: list(record({ repeat: positive, dispatches: list(dispatch) })),
      }),
    ),
    report: test("an object", isObject),
  })(value, "", say);
