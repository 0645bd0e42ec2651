/**
 * Kernel families and how their text is put together: enables, bindings, the uniform, generated consts and hook functions, then the
 * family's own .wgsl file. A family is one file of WGSL and one row beside it; the list at the end of kernels/index.ts is tried in order
 * and its last rows, the naive kernels, take every region.
 */
import { readFileSync } from "node:fs";
import { InternalError } from "../diagnostics/diagnostic.js";
import type { Access, Requirement } from "../program/program.js";
import type { Size } from "../program/size.js";
import { storedType, type Words } from "./emitter.js";
import type { Binding, Region } from "./region.js";
import { convertHalves, hasHalves, hasPairs, UNPACK, type Width } from "./stored.js";

/** One kernel: the variants, from most demanding to least, and the sizes they share. */
export interface Stage {
  readonly family: string;
  readonly variants: readonly LoweredVariant[];
  readonly words: Words;
  readonly extent: readonly Size[];
  /** The bindings of the region that it has, where it works with others on one region; default: all. */
  readonly binds?: readonly number[];
}

/** How a variant is called that has loops where the one of the plain name, for GPUs, has all of a step in its text. */
export const LOOPED = "-looped";

/** What a family makes of a region. */
export interface Lowered extends Stage {
  /** Where the family has choices: what one is remembered by, see choice-key.ts. */
  readonly choiceKey?: string;
  /** A kernel that runs before this one, and how many f32 it leaves for this one, in memory that both bind last. */
  readonly before?: Stage;
  readonly between?: Size;
}

export interface LoweredVariant {
  readonly name: string;
  readonly requires: Requirement;
  readonly workgroupSize: number;
  readonly tile: readonly number[];
  readonly text: string;
}

export interface FamilyOptions {
  /** Whether feature-guarded variants may be made. */
  readonly variants: boolean;
  /** Naive kernels alone. */
  readonly safe: boolean;
  /** Choices that are made already, by family: `{ matmul: "workgroup-64x64" }`; it is taken wherever it applies. */
  readonly choices?: Readonly<Record<string, string>>;
  /** Choices for single dispatches, by `choiceKey`; a choice for the whole family goes before them. */
  readonly tuning?: ReadonlyMap<string, string>;
}

/** That a kernel can store the sum of squares of one of its results beside it: of which, and in how many parts. */
export interface SquaresBeside {
  readonly of: number;
  readonly parts: number;
}

/** One of the ways in which a family can work. */
export interface Choice {
  readonly name: string;
  /** What it is, and where it applies. */
  readonly doc: string;
  /** Features without which who chooses it is refused, rather than given another way; it multiplies what is stored in f16. */
  readonly needs?: readonly string[];
}

export interface Family {
  readonly name: string;
  readonly doc: string;
  /** The ways to choose from, where there is more than one. */
  readonly choices?: readonly Choice[];
  /** The kernel for this region, or undefined when the family does not apply. */
  readonly lower: (region: Region, options: FamilyOptions) => Lowered | undefined;
  /** Whether it takes the region with such a sum too; the same whatever is chosen. */
  readonly squaresBeside?: (region: Region, options: FamilyOptions) => SquaresBeside | undefined;
}

const files = new Map<string, string>();

/** A .wgsl file beside the families, or beside the Program's shared sources. */
export function wgslFile(path: string): string {
  let text = files.get(path);
  if (text === undefined) {
    text = readFileSync(new URL(path, import.meta.url), "utf8");
    files.set(path, text);
  }
  return text;
}

export interface TextParts {
  readonly title: string;
  readonly enables?: readonly string[];
  readonly bindings: readonly Binding[];
  readonly words: Words;
  /** `const NAME = value` lines; the value is WGSL. */
  readonly consts: Readonly<Record<string, string>>;
  /** Names that stand for words of the uniform; WGSL has no macros, so they are replaced in the file's text. */
  readonly sizes: Readonly<Record<string, string>>;
  /** Generated functions. */
  readonly hooks: string;
  /** The family's file, "./kernels/map.wgsl". */
  readonly file: string;
  /** Files before the hooks. */
  readonly libraries?: readonly string[];
  /** Bindings read four numbers at a time. */
  readonly vec4?: readonly number[];
  /** Bindings read two numbers at a time. */
  readonly vec2?: readonly number[];
}

/** One readable WGSL module. */
export function kernelText(parts: TextParts): string {
  const bindings = parts.bindings.map(
    (b, i) => `@group(0) @binding(${i}) var<storage, ${b.access satisfies Access}> b${i}: array<${elementType(parts, b, i)}>;`,
  );
  const text = `${withSizes(parts.hooks, parts.sizes)}\n${familyText(parts)}`;
  const body = convertHalves(text, parts.bindings, (i) => widthOf(parts, i));
  const math = /\b(tanh_|expm1_|sigmoid_|gelu_|gelu_slope_|silu_slope_)\(/.test(parts.hooks)
    ? [wgslFile("./kernels/math.wgsl")]
    : [];
  return [
    ...(hasHalves(parts.bindings.filter((b) => !b.packed)) ? ["enable f16;"] : []),
    ...(parts.enables ?? []),
    `// ${parts.title}`,
    ...bindings,
    `@group(0) @binding(${parts.bindings.length}) var<uniform> u: array<vec4u, ${parts.words.count / 4}>;`,
    ...Object.entries(parts.consts).map(([name, value]) => `const ${name} = ${value};`),
    "",
    "// Linear number of this workgroup, also when the grid was cut or folded.",
    "fn group_id(wid: vec3u) -> u32 {",
    "  return u[0].x + wid.x + wid.y * u[0].z;",
    "}",
    "",
    ...(hasPairs(parts.bindings) ? [UNPACK] : []),
    ...(parts.libraries ?? []).map((file) => familyText({ ...parts, file })),
    ...math,
    body,
  ].join("\n");
}

/** How many numbers are read or written at a time. */
const widthOf = ({ vec2, vec4 }: TextParts, i: number): Width => (vec4?.includes(i) ? 4 : vec2?.includes(i) ? 2 : 1);

const elementType = (parts: TextParts, { dtype, packed }: Binding, i: number): string => {
  const width = widthOf(parts, i);
  if (packed) return width === 4 ? "vec2u" : "u32";
  return width === 1 ? storedType(dtype) : `vec${width}${dtype === "f16" ? "h" : "f"}`;
};

/** Names of sizes replaced by the words they stand for; comments stay as they are. */
const withSizes = (text: string, sizes: TextParts["sizes"]): string =>
  text
    .split("\n")
    .map((line) => (line.startsWith("//") ? line : line.replaceAll(/\b[A-Z][A-Z0-9_]*\b/g, (name) => sizes[name] ?? name)))
    .join("\n");

const familyTexts = new Map<string, string>();

/** The family's file, unrolled: the same for most of the thousands of dispatches that it is asked for. */
function familyText({ file, consts, sizes }: TextParts): string {
  const key = JSON.stringify([file, consts, sizes]);
  let text = familyTexts.get(key);
  if (text === undefined) {
    const source = onlyWhere(wgslFile(file), consts);
    text = withSizes(unroll(source, consts), sizes);
    familyTexts.set(key, text);
  }
  return text;
}

/** Lines of a .wgsl file marked `// where NAME` are there only where there is such a const. */
const onlyWhere = (text: string, consts: TextParts["consts"]): string =>
  text
    .split("\n")
    .flatMap((line) => {
      const m = /^(.*?) \/\/ where (\w+)$/.exec(line);
      return !m ? [line] : m[2]! in consts ? [m[1]!] : [];
    })
    .join("\n");

/**
 * Unrolls the loops of a .wgsl file that are marked so, `for (var r = 0u; r < TM; r++) { // unroll`: drivers keep an array in registers
 * only when every index is a constant. Bounds are consts of the prologue or numbers; the body ends at the brace under the `for`. A loop
 * marked `// unroll where NAME` is unrolled where there is such a const.
 */
export function unroll(text: string, consts: Readonly<Record<string, string>>): string {
  const lines = text.split("\n");
  const out: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!.replace(/ \/\/ unroll where (\w+)$/, (_, name) => (name in consts ? " // unroll" : ""));
    const m = /^( *)for \(var (\w+) = 0u; \2 < (\w+); \2(\+\+| \+= (\w+))\) \{ \/\/ unroll$/.exec(line);
    if (!m) {
      if (line.endsWith("// unroll")) throw new InternalError(`a loop that cannot be unrolled: ${line}`);
      out.push(line);
      continue;
    }
    const [, indent, name, bound, , step] = m as unknown as [string, string, string, string, string, string | undefined];
    const end = lines.indexOf(`${indent}}`, i);
    const body = lines.slice(i + 1, end).join("\n");
    const numberOf = (text: string): number => Number.parseInt(consts[text] ?? text, 10);
    const [limit, by] = [numberOf(bound), step === undefined ? 1 : numberOf(step)];
    for (let at = 0; at < limit; at += by) {
      const copy = body.replaceAll(new RegExp(`\\b${name}\\b`, "g"), `${at}u`);
      out.push(...unroll(`${indent}{\n${copy}\n${indent}}`, consts).split("\n"));
    }
    i = end;
  }
  return out.join("\n");
}

/** A WGSL function from lines. */
export const fnText = (head: string, lines: readonly string[]): string =>
  `fn ${head} {\n${lines.map((l) => `  ${l}`).join("\n")}\n}\n`;
