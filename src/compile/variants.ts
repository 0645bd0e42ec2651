/**
 * `--variants k`: up to k other ways of each heavy kernel, ready to be run (program/variants.ts). Which way is the fastest on a visitor's
 * GPU nobody knows when a page is built, so the neighbours of the compiler's own choice come along: the next larger and smaller tiles first.
 */
import { matmulChoices } from "../codegen/kernels/matmul.js";
import { addsParts } from "../codegen/kernels/matmul-split.js";
import { type LoweredProgram, type LowerOptions, lower, type ScheduleSpec } from "../codegen/lower.js";
import { fail } from "../diagnostics/diagnostic.js";
import type { Module } from "../ir/graph.js";
import type { Dispatch, Kernel } from "../program/program.js";
import { evaluate } from "../program/size.js";
import { VARIANTS_FORMAT, VARIANTS_VERSION, type Variants, type VariantWay, type VariantWork } from "../program/variants.js";
import { MOST_TEXT } from "./choices.js";

/** More ways than these take a page longer to try than they can save. */
const MOST_WAYS = 8;
/** What part of all multiply-adds makes a work one of the heavy ones, with those that are heavier; and how many at most. */
const HEAVY = 0.9;
const MOST_WORKS = 16;
/** The way that the compiler takes by itself, where a tuning file or a choice for all has another. */
const UNTUNED = "untuned";

/** Error: DIT1308 (no such number, or nothing to choose from). */
export function checkedVariants(ways: number, safe: boolean): number {
  if (!Number.isInteger(ways) || ways < 1 || ways > MOST_WAYS)
    fail("DIT1308", `variants is ${ways}, expected a whole number from 1 to ${MOST_WAYS}`);
  if (safe) fail("DIT1308", "a program of naive kernels alone has no variants", { help: "leave out --safe or --variants" });
  return ways;
}

/** A dispatch of a lowered program, where it stands, and how often it runs. */
interface Placed {
  readonly entry: string;
  readonly index: number;
  readonly repeat: number;
  readonly dispatch: Dispatch;
}

const placed = ({ entries }: LoweredProgram): Placed[] =>
  entries.flatMap(({ name, segments }) =>
    segments
      .flatMap(({ repeat, dispatches }) => dispatches.map((dispatch) => ({ repeat, dispatch })))
      .map((one, index) => ({ entry: name, index, ...one })),
  );

/** `lowered`: what `options` make of the module. */
export function makeVariants(
  most: number,
  module: Module,
  schedules: readonly ScheduleSpec[],
  options: LowerOptions,
  lowered: LoweredProgram,
  hash: string,
): Variants {
  const own = placed(lowered);
  const heavy = heavyWorks(own, lowered.kernels, options.batch);
  const programs = new Map<string, LoweredProgram>();
  /** One choice for all heavy works at once. */
  const programOf = (choice: string): LoweredProgram => {
    const { matmul: _, ...choices } = options.choices ?? {};
    const tuning = new Map(options.tuning);
    for (const key of heavy) {
      if (choice === UNTUNED) tuning.delete(key);
      else tuning.set(key, choice);
    }
    const known = programs.get(choice) ?? lower(module, schedules, { ...options, choices, tuning });
    programs.set(choice, known);
    return known;
  };
  const made = new Made();
  const works = heavy.map((key): VariantWork => {
    const mine = [...own.keys()].filter((i) => own[i]!.dispatch.choiceKey === key);
    const texts = new Set(textsOf(lowered, own[mine[0]!]!));
    const ways: VariantWay[] = [];
    const order = inOrder(lowered.kernels[own[mine[0]!]!.dispatch.kernel]!);
    for (const choice of options.tuning?.has(key) || options.choices?.matmul ? [UNTUNED, ...order] : order) {
      if (ways.length === most) break;
      const other = programOf(choice);
      const all = placed(other);
      // Two dispatches in place of one are another program, with memory of its own.
      if (all.length !== own.length) continue;
      // What some device would take anyway is no news to it, and of no use to others.
      const news = textsOf(other, all[mine[0]!]!).filter((text) => !texts.has(text));
      if (news.length === 0 || news.some((text) => text.length > MOST_TEXT)) continue;
      for (const text of news) texts.add(text);
      const runs = mine.map((i) => ({ uniforms: all[i]!.dispatch.uniforms, extent: all[i]!.dispatch.extent }));
      ways.push({ choice, kernel: made.kernel(other, all[mine[0]!]!), runs });
    }
    return { key, dispatches: mine.map((i) => ({ entry: own[i]!.entry, index: own[i]!.index })), ways };
  });
  return {
    ...{ format: VARIANTS_FORMAT, version: VARIANTS_VERSION, program: hash },
    ...{ kernels: made.kernels, texts: made.texts, works: works.filter(({ ways }) => ways.length > 0) },
  };
}

/** Keys of the work that most of the multiply-adds are in, the heaviest first; what takes two dispatches stays as it is. */
function heavyWorks(own: readonly Placed[], kernels: readonly Kernel[], batch: number): string[] {
  const macs = new Map<string, number>();
  own.forEach(({ dispatch: { choiceKey: key, work }, repeat }, i) => {
    const next = own[i + 1]?.dispatch;
    if (key === undefined || (next && addsParts(kernels[next.kernel]!))) return;
    macs.set(key, (macs.get(key) ?? 0) + repeat * evaluate(work.macs, batch));
  });
  const sorted = [...macs].sort(([, a], [, b]) => b - a).slice(0, MOST_WORKS);
  const enough = HEAVY * [...macs.values()].reduce((sum, n) => sum + n, 0);
  let before = 0;
  return sorted.flatMap(([key, n]) => {
    const heavy = before < enough;
    before += n;
    return heavy ? [key] : [];
  });
}

/** Designs of one dispatch that need no feature of every device; of those there are so many only for the matmul. */
const designs = matmulChoices.filter(({ name, needs }) => !needs && !name.startsWith("split-k"));
const [onVectors, others] = [true, false].map((wanted) =>
  designs.filter(({ onVectors = false }) => onVectors === wanted).map(({ name }) => name),
) as [string[], string[]];

/** The choices, those first that stand beside what the kernel has for a GPU, or has at all; last those for CPUs, of which no page is in need. */
function inOrder({ variants }: Kernel): string[] {
  const known = variants.filter(({ name }) => others.includes(name));
  const at = others.indexOf((known.find(({ requires }) => requires.hardware) ?? known[0])?.name ?? others.at(-1)!);
  const distance = (name: string): number => Math.abs(others.indexOf(name) - at);
  return [...others.toSorted((a, b) => distance(a) - distance(b)), ...onVectors];
}

const textsOf = ({ kernels, wgsl }: LoweredProgram, { dispatch }: Placed): string[] =>
  kernels[dispatch.kernel]!.variants.map(({ file }) => wgsl[file]!);

/** The file's kernels, each once. */
class Made {
  readonly kernels: Kernel[] = [];
  readonly texts: Record<string, string> = {};
  private readonly known = new Map<string, number>();

  kernel(from: LoweredProgram, at: Placed): number {
    const { variants, ...kernel } = from.kernels[at.dispatch.kernel]!;
    const key = `${kernel.access.join()} ${kernel.words}\n${textsOf(from, at).join("\n")}`;
    const before = this.known.get(key);
    if (before !== undefined) return before;
    const id = this.kernels.length;
    const name = `variant-${String(id).padStart(3, "0")}-${kernel.family}`;
    const renamed = variants.map((variant) => {
      const file = `variants/${name}.${variant.name}.wgsl`;
      this.texts[file] = from.wgsl[variant.file]!;
      return { ...variant, file };
    });
    this.kernels.push({ ...kernel, name, variants: renamed });
    this.known.set(key, id);
    return id;
  }
}
