/**
 * The DiT that a set of weights belongs to, read from its shapes: all that models/dit.graph.ts can be configured with, but for the number
 * of heads, which no shape tells, and which preset it is. Names are the official ones (see layout.ts).
 */
import { fail } from "../diagnostics/diagnostic.js";

export type Block = "adaln_zero" | "adaln" | "in_context" | "cross_attention";

/** The keys of models/dit.graph.ts. */
export interface DitConfig {
  readonly inputSize: number;
  readonly patchSize: number;
  readonly inChannels: number;
  readonly hiddenSize: number;
  readonly depth: number;
  readonly numHeads: number;
  readonly mlpRatio: number;
  readonly classDropoutProb: number;
  readonly numClasses: number;
  readonly learnSigma: boolean;
  readonly block: Block;
}

const base: DitConfig = {
  inputSize: 32,
  patchSize: 2,
  inChannels: 4,
  hiddenSize: 384,
  depth: 12,
  numHeads: 6,
  mlpRatio: 4,
  classDropoutProb: 0.1,
  numClasses: 1000,
  learnSigma: true,
  block: "adaln_zero",
};
const sizes = {
  S: { depth: 12, hiddenSize: 384, numHeads: 6 },
  B: { depth: 12, hiddenSize: 768, numHeads: 12 },
  L: { depth: 24, hiddenSize: 1024, numHeads: 16 },
  XL: { depth: 28, hiddenSize: 1152, numHeads: 16 },
};
const little = { hiddenSize: 128, depth: 4, numHeads: 4, numClasses: 10, learnSigma: false };

/**
 * The presets of models/dit.graph.ts. They stand here again because reading a model file takes TypeScript's checker, which no page has and
 * which takes more memory than a whole import may; test/checkpoints/config.test.ts holds the two against each other.
 */
export const presets: ReadonlyMap<string, DitConfig> = new Map([
  ...Object.entries(sizes).flatMap(([name, size]) =>
    [2, 4, 8].flatMap((patchSize): [string, DitConfig][] => [
      [`DiT-${name}/${patchSize}`, { ...base, ...size, patchSize }],
      [`DiT-${name}/${patchSize}-512`, { ...base, ...size, patchSize, inputSize: 64 }],
    ]),
  ),
  ["fashion", { ...base, ...little, inputSize: 28, patchSize: 7, inChannels: 1 }],
  ["pictures", { ...base, ...little, inputSize: 32, patchSize: 4, inChannels: 3 }],
  ["tiny", { ...base, inputSize: 8, hiddenSize: 64, depth: 2, numHeads: 4, numClasses: 10 }],
  ["small", { ...base, inputSize: 16, hiddenSize: 256, depth: 6, numHeads: 4, numClasses: 10 }],
]);

/** What is known of the model beside its tensors: from a user, a training's options, a config.json. It goes before what shapes say. */
export type Hints = Partial<DitConfig>;

/** What shapes and hints tell; `numHeads` and `inputSize` are missing where neither does. */
export type Guessed = Omit<DitConfig, "numHeads" | "inputSize"> & Pick<Hints, "numHeads" | "inputSize">;

type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** Least and most of each setting: what is beyond is a slip of the pen, or a file made to exhaust whoever reads it. */
const ranges: Readonly<Partial<Record<keyof DitConfig, readonly [number, number]>>> = {
  inputSize: [1, 65536],
  patchSize: [1, 4096],
  inChannels: [1, 65536],
  hiddenSize: [1, 65536],
  depth: [1, 1000],
  numHeads: [1, 65536],
  numClasses: [0, 1e7],
};
/** Patches along a side of the image. */
const MOST_PATCHES = 1024;

/** Error: DIT4077. */
function checkRanges(label: string, config: Guessed): void {
  const bad = (what: string, expected: string): never =>
    fail("DIT4077", `${label}: ${what}, expected ${expected}`, {
      help: "it comes from --set, or from a config.json beside the file: put it right there",
    });
  for (const [key, [least, most]] of Object.entries(ranges)) {
    const value = config[key as keyof DitConfig];
    if (value === undefined || (Number.isInteger(value) && (value as number) >= least && (value as number) <= most)) continue;
    bad(`${key} is ${value}`, `a whole number from ${least} to ${most}`);
  }
  const { mlpRatio, classDropoutProb, inputSize = 0, patchSize } = config;
  if (!(mlpRatio > 0 && mlpRatio <= 1024)) bad(`mlpRatio is ${mlpRatio}`, "a number above 0, up to 1024");
  if (!(classDropoutProb >= 0 && classDropoutProb <= 1)) bad(`classDropoutProb is ${classDropoutProb}`, "a number from 0 to 1");
  if (inputSize / patchSize > MOST_PATCHES) bad(`inputSize is ${inputSize}`, `at most ${MOST_PATCHES} patches of ${patchSize}`);
}

/**
 * Reads the configuration from official names and shapes. Errors: DIT4076 (a tensor is missing, or of a shape that no DiT has), DIT4077 (a
 * setting is out of all proportion).
 */
export function guessConfig(label: string, tensors: Shapes, hints: Hints = {}): Guessed {
  const shapeOf = (name: string, ...axes: readonly string[]): readonly number[] => {
    const shape = tensors.get(name)?.shape;
    if (shape?.length === axes.length && shape.every((size) => size > 0)) return shape;
    return fail(
      "DIT4076",
      `${label}: tensor "${name}": expected [${axes.join(", ")}], found ${shape ? `[${shape.join(", ")}]` : "none"}`,
      {
        help: "these are not the weights of a DiT: `dit-compile inspect FILE` lists what is there",
      },
    );
  };
  const [hiddenSize, inChannels, patchSize] = shapeOf("x_embedder.proj.weight", "hidden", "channels", "patch", "patch") as [
    number,
    number,
    number,
  ];
  const [pixels] = shapeOf("final_layer.linear.weight", "patch · patch · channels", "hidden") as [number];
  const [mlp] = shapeOf("blocks.0.mlp.fc1.weight", "mlp", "hidden") as [number];
  const names = [...tensors.keys()];
  const depth = new Set(names.flatMap((name) => /^blocks\.(\d+)\./.exec(name)?.[1] ?? [])).size;
  const tokens = tensors.get("pos_embed")?.shape[1];
  const found = {
    patchSize,
    inChannels,
    hiddenSize,
    depth,
    mlpRatio: ratioOf(mlp, hiddenSize),
    learnSigma: pixels !== patchSize ** 2 * inChannels,
    block: blockOf(tensors, hiddenSize),
    ...classesOf(tensors, hints),
    ...(tokens === undefined ? {} : { inputSize: Math.round(Math.sqrt(tokens)) * patchSize }),
  };
  const merged: Guessed = { ...found, ...hints };
  const { numHeads = headsOf(merged) } = merged;
  checkRanges(label, { ...merged, ...(numHeads === undefined ? {} : { numHeads }) });
  return { ...merged, ...(numHeads === undefined ? {} : { numHeads }) };
}

/** The ratio that gives this width when the product is rounded down. */
const ratioOf = (mlp: number, hidden: number): number =>
  Math.trunc(hidden * (mlp / hidden)) === mlp ? mlp / hidden : (mlp + 0.5) / hidden;

function blockOf(tensors: Shapes, hiddenSize: number): Block {
  if (tensors.has("blocks.0.cross_attn.q.weight")) return "cross_attention";
  const rows = tensors.get("blocks.0.adaLN_modulation.1.weight")?.shape[0];
  if (rows === undefined) return "in_context";
  return rows === 4 * hiddenSize ? "adaln" : "adaln_zero";
}

/** One row of the table is the null class, unless as many classes as rows are known of. */
function classesOf(tensors: Shapes, hints: Hints): Pick<DitConfig, "numClasses" | "classDropoutProb"> {
  const rows = tensors.get("y_embedder.embedding_table.weight")?.shape[0];
  if (rows === undefined) return { numClasses: 0, classDropoutProb: 0 };
  return rows === hints.numClasses || rows === 1
    ? { numClasses: rows, classDropoutProb: 0 }
    : { numClasses: rows - 1, classDropoutProb: base.classDropoutProb };
}

/** Of the preset with this width and depth. */
function headsOf({ hiddenSize, depth }: Guessed): number | undefined {
  return [...presets.values()].find((preset) => preset.hiddenSize === hiddenSize && preset.depth === depth)?.numHeads;
}

export interface Named {
  /** The preset that it is, or is with the settings of `set`; undefined: none is like it, and `set` says all. */
  readonly preset: string | undefined;
  /** What is other than in the preset. */
  readonly set: Hints;
}

/** The preset of the same size, and what differs from it. */
export function nameConfig(config: Guessed): Named {
  const differing = (preset: DitConfig): Hints =>
    Object.fromEntries(Object.entries(config).filter(([key, value]) => preset[key as keyof DitConfig] !== value));
  const like = [...presets]
    .filter(([, p]) => (["hiddenSize", "depth", "patchSize", "numHeads"] as const).every((key) => p[key] === config[key]))
    .map(([preset, p]): Named => ({ preset, set: differing(p) }))
    .sort((a, b) => Object.keys(a.set).length - Object.keys(b.set).length);
  return like[0] ?? { preset: undefined, set: config };
}

/** `inputSize=64 numClasses=10` */
export const settings = ({ set }: Named): string =>
  Object.entries(set)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");

/** For people: `DiT-XL/2 with numClasses=10`. */
export function configText(named: Named): string {
  const { preset, set } = named;
  if (preset === undefined) return `no preset: ${settings(named)}`;
  return Object.keys(set).length === 0 ? preset : `${preset} with ${settings(named)}`;
}

/** Hints that a user gives: a preset's name and `key=value` settings. Error: DIT4077. */
export function parseHints(preset: string | undefined, set: Readonly<Record<string, string>>): Hints {
  const named = preset === undefined ? {} : presets.get(preset);
  if (!named) fail("DIT4077", `there is no preset "${preset}"`, { help: `choose one of ${[...presets.keys()].join(", ")}` });
  const given = Object.entries(set).map(([key, text]): [string, unknown] => {
    const example = base[key as keyof DitConfig];
    const value = typeof example === "string" ? text : text === "true" ? true : text === "false" ? false : Number(text);
    if (example === undefined || typeof value !== typeof example || Number.isNaN(value)) {
      fail("DIT4077", `--set ${key}=${text}: ${example === undefined ? "no such setting" : `expected a ${typeof example}`}`, {
        help: `settings of the model are ${Object.keys(base).join(", ")}`,
      });
    }
    return [key, value];
  });
  return { ...named, ...(Object.fromEntries(given) as Hints) };
}
