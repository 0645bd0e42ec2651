/**
 * The lines of a body, made for four neighbours along one loop at once: what the four share is computed once, what lies side by side is
 * loaded and stored as a vec4, and the rest is done for each of them. Undefined where the four do not lie so, or where something needs to
 * know which of them it is. A load of four costs little more than a load of one, on a GPU as on a CPU that stands in for one.
 */
import type { Size } from "../program/size.js";
import type { Load } from "./emitter.js";
import { type Affine, coefficient } from "./index-math.js";
import type { Loop, Region } from "./region.js";

/** Whether a size is a multiple of `n` at any batch. */
export const isMultiple = (s: Size, n: number): boolean => (typeof s === "number" ? [s] : s).every((c) => c % n === 0);

export const byFour = (s: Size): boolean => isMultiple(s, 4);

/** Whether a tensor can be read or written four numbers at a time along `along`, and everything else in its index keeps that alignment. */
export const inFours = (x: Affine, along: Loop): boolean =>
  coefficient(x, along.name) === 1 &&
  byFour(along.range) &&
  byFour(x.constant) &&
  x.terms.every(({ atom, by }) => atom.name === along.name || byFour(by));

/** How a body's loads lie. */
export interface FourLoads {
  /** Bindings that are read four at a time. */
  readonly vec4: ReadonlySet<number>;
  /** Bindings that are read one at a time: what they hold is the same for all four. */
  readonly single: ReadonlySet<number>;
  /** The text of each load of four, and where it is. */
  readonly texts: ReadonlyMap<string, { readonly binding: number; readonly place: string }>;
}

/** Undefined where a load differs among the four in another way than by their order, or a binding would need two types. */
export function fourLoads(
  region: Region,
  loads: readonly Load[],
  printIndex: (index: Affine) => string,
  along: Loop,
): FourLoads | undefined {
  const vec4 = new Set<number>();
  const single = new Set<number>();
  const texts = new Map<string, { binding: number; place: string }>();
  for (const { param, index } of loads) {
    const binding = region.params[param]!;
    if (coefficient(index, along.name) === 0) {
      single.add(binding);
      continue;
    }
    if (!inFours(index, along) || !["f32", "f16"].includes(region.bindings[binding]!.dtype)) return undefined;
    vec4.add(binding);
    const place = printIndex(index);
    texts.set(`b${binding}[${place}]`, { binding, place });
  }
  return [...vec4].some((b) => single.has(b)) ? undefined : { vec4, single, texts };
}

const PARTS = ["x", "y", "z", "w"] as const;
const WORD = /(?<!\.)\b[a-z_]\w*\b/g;
const namesIn = (text: string): string[] => text.match(WORD) ?? [];
/** What WGSL does to a vec4f as it does to each of its parts. */
const OPERAND = String.raw`-?(?:[a-z_]\w*|\(?-?\d[\d.]*(?:e[-+]?\d+)?f?\)?)`;
const BY_PARTS = new RegExp(`^(?:${OPERAND}(?: [-+*/] ${OPERAND})*|(?:exp|log|sqrt|inverseSqrt|abs)\\([a-z_]\\w*\\))$`);

/**
 * The lines for all four. `vectors` are names that are vec4f already. A store `b0[place] = value;` is taken for one whose place is a
 * multiple of four for the first of the four; a sum `total += value;` or a maximum `total = max(total, value);` of what differs becomes a
 * vec4f, whether it is declared in the lines or one of `vectors`.
 */
export function foursText(
  lines: readonly string[],
  loads: FourLoads,
  along: Loop,
  vectors: Iterable<string> = [],
): string[] | undefined {
  const wide = new Set(vectors);
  /** Variables that have a value for each of the four, under four names. */
  const split = new Set<string>();
  const differs = (text: string): boolean => namesIn(text).some((n) => wide.has(n) || split.has(n));
  const byParts = (text: string): boolean => BY_PARTS.test(text) && !namesIn(text).some((n) => split.has(n));
  const statements = lines.map(statementOf);
  // What is added up is known to differ only once what is added is.
  for (let before = -1; before !== wide.size + split.size; ) {
    before = wide.size + split.size;
    for (const { kind, name, value } of statements) {
      if (kind === "let" && loads.texts.has(value)) wide.add(name);
      else if (kind === "let" && differs(value)) (byParts(value) ? wide : split).add(name);
      else if ((kind === "add" || kind === "max") && differs(value)) wide.add(name);
    }
  }
  const partOf = (text: string, part: string): string =>
    text.replaceAll(WORD, (n) => (wide.has(n) ? `${n}.${part}` : split.has(n) ? `${n}${part}` : n));
  const four = (value: string): string => {
    if (wide.has(value)) return value;
    return differs(value) ? `vec4f(${PARTS.map((part) => partOf(value, part)).join(", ")})` : `vec4f(${value})`;
  };

  const out: string[] = [];
  for (const { kind, line, indent, name, place, value } of statements) {
    if (kind === "let") {
      const load = loads.texts.get(value);
      // Which of the four it is, only the place of a load may ask; and that place must not itself differ among them.
      if (load ? differs(load.place) : namesIn(value).includes(along.name)) return undefined;
      if (load) out.push(`${indent}let ${name} = b${load.binding}[(${load.place}) / 4u];`);
      else if (split.has(name)) out.push(...PARTS.map((part) => `${indent}let ${name}${part} = ${partOf(value, part)};`));
      else out.push(line);
    } else if (kind === "var" && wide.has(name)) {
      if (/[iu]$/.test(value)) return undefined;
      out.push(`${indent}var ${name} = vec4f(${value});`);
    } else if (kind === "add" && wide.has(name)) out.push(`${indent}${name} += ${four(value)};`);
    else if (kind === "max" && wide.has(name)) out.push(`${indent}${name} = max(${name}, ${four(value)});`);
    else if (kind === "store") out.push(`${indent}${name}[(${place}) / 4u] = ${four(value)};`);
    else if (differs(line) || namesIn(line).includes(along.name)) return undefined;
    else out.push(line);
  }
  return out;
}

/** A load of four, as `foursText` writes it. */
const LOAD_OF_FOUR = /^b\d+\[.* \/ 4u\]$/;

/** Loads that rows of results share: lines that end with them, and the names of what they load, each a vec4f. */
export interface SharedLoads {
  readonly lines: readonly string[];
  readonly names: readonly string[];
}

/**
 * Takes out of the lines for a row those loads of four that do not follow from `varying`, or do so through `still` alone, and so are the same
 * for all rows. Each lane of a CPU's vector loads and stores number by number: a load that stands in a row costs it as much as its store.
 */
export function shareLoads(
  lines: readonly string[],
  varying: Iterable<string>,
  still?: string,
): { shared: SharedLoads; lines: readonly string[] } {
  const varies = new Set(varying);
  const before: string[] = [];
  const names: string[] = [];
  const rest: string[] = [];
  for (const line of lines) {
    const { kind, name, value, indent } = statementOf(line);
    const same = kind === "let" && indent === "" && (name === still || !namesIn(value).some((n) => varies.has(n)));
    if (same) before.push(line);
    else varies.add(name);
    if (same && LOAD_OF_FOUR.test(value)) names.push(name);
    else rest.push(line);
  }
  return { shared: { lines: names.length > 0 ? before : [], names }, lines: rest };
}

interface Statement {
  readonly kind: "let" | "var" | "add" | "max" | "store" | "other";
  readonly line: string;
  readonly indent: string;
  readonly name: string;
  readonly place: string;
  readonly value: string;
}

const kinds: readonly (readonly [Statement["kind"], RegExp])[] = [
  ["let", /^let (?<name>\w+) = (?<value>.*);$/],
  ["var", /^var (?<name>\w+) = (?<value>.*);$/],
  ["add", /^(?<name>\w+) \+= (?<value>.*);$/],
  ["max", /^(?<name>\w+) = max\(\k<name>, (?<value>.*)\);$/],
  ["store", /^(?<name>b\d+)\[(?<place>.*?)\] = (?<value>.*);$/],
];

function statementOf(line: string): Statement {
  const text = line.trimStart();
  const indent = line.slice(0, line.length - text.length);
  for (const [kind, pattern] of kinds) {
    const found = pattern.exec(text)?.groups;
    if (found) return { kind, line, indent, name: found.name!, place: found.place ?? "", value: found.value! };
  }
  return { kind: "other", line, indent, name: "", place: "", value: "" };
}
