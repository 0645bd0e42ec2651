/**
 * What a training run is asked for, as plain data: the keys of `--config train.json`, of the flags that override it, and of the resolved
 * train.json that the run folder keeps. schemas/train.schema.json is made of this file, for editors.
 */
import * as v from "valibot";
import { fail } from "../diagnostics/diagnostic.js";
import { readJsonFile } from "../formats/json-file.js";

const whole = (least: number, what: string) => v.pipe(v.number(), v.safeInteger(), v.minValue(least), v.description(what));
const text = (what: string) => v.pipe(v.string(), v.minLength(1), v.description(what));

export const trainSchema = v.strictObject({
  $schema: v.optional(v.string()),
  model: v.optional(text("TypeScript file whose default export is a model; from the working folder")),
  preset: v.optional(text("one of the model's presets")),
  set: v.optional(
    v.pipe(
      v.record(v.string(), v.union([v.number(), v.string(), v.boolean()])),
      v.description("settings of the model and its training: learningRate, warmupSteps, clipNorm, emaDecay, depth, …"),
    ),
  ),
  data: v.optional(
    text("fashion-mnist, emoji, a folder with one sub-folder of images a class, a folder of idx files, or latents.safetensors"),
  ),
  skipBroken: v.optional(v.pipe(v.boolean(), v.description("leave broken images out instead of ending with an error"))),
  steps: v.optional(whole(1, "updates of the weights")),
  batch: v.optional(whole(1, "images that the device works on at a time")),
  accumulate: v.optional(whole(1, "batches an update: the global batch is batch × accumulate")),
  memory: v.optional(whole(1, "bytes of GPU memory that a step may take; values are computed again until it fits")),
  dtype: v.optional(
    v.pipe(
      v.picklist(["f32", "f16"]),
      v.description("how activations lie in memory; f16 needs a GPU with shader-f16, and scales the loss"),
    ),
  ),
  seed: v.optional(v.pipe(whole(0, "of weights, order and noise"), v.maxValue(2 ** 32 - 1))),
  flip: v.optional(v.pipe(v.boolean(), v.description("mirror images at random"))),
  weights: v.optional(text("safetensors file to begin with instead of fresh weights")),
  logEvery: v.optional(whole(1, "steps between two looks at the loss")),
  checkpointEvery: v.optional(whole(0, "steps between checkpoints; 0: only at the end")),
  keepLast: v.optional(whole(1, "checkpoints to keep, the newest")),
  keepEvery: v.optional(whole(0, "beside them, keep those at multiples of so many steps; 0: none")),
  sampleEvery: v.optional(whole(0, "steps between grids of samples, drawn with the average weights; 0: none")),
  sampleCount: v.optional(whole(1, "images in such a grid")),
  maxBadSteps: v.optional(whole(1, "steps in a row that are not finite after which the run ends")),
});

/** A config file, or what the flags say: any of the keys. */
export type TrainFile = v.InferOutput<typeof trainSchema>;

const defaults = {
  set: {} as NonNullable<TrainFile["set"]>,
  skipBroken: false,
  batch: 64,
  accumulate: 1,
  seed: 0,
  flip: true,
  logEvery: 10,
  checkpointEvery: 1000,
  keepLast: 3,
  keepEvery: 0,
  sampleEvery: 1000,
  sampleCount: 40,
  maxBadSteps: 5,
} satisfies TrainFile;

/** All keys resolved; `preset` and `weights` may be absent. */
export type TrainConfig = Omit<TrainFile, "$schema" | Resolved> & { [K in Resolved]-?: NonNullable<TrainFile[K]> };
type Resolved = keyof typeof defaults | "model" | "data" | "steps";

/** Later ones override earlier ones; `set` key by key. Error: DIT4240 (a key that has no default is nowhere). */
export function resolveConfig(...layers: readonly TrainFile[]): TrainConfig {
  const all: TrainFile[] = [defaults, ...layers];
  const merged = Object.assign({}, ...all.map(defined)) as TrainFile;
  const set = Object.assign({}, ...all.map((layer) => layer.set ?? {})) as TrainConfig["set"];
  for (const [key, how] of [
    ["model", "name the model file first, like models/dit.graph.ts"],
    ["data", "give --data, like --data fashion-mnist or --data FOLDER"],
    ["steps", "give --steps"],
  ] as const) {
    if (merged[key] === undefined)
      fail("DIT4240", `a training run needs "${key}", and neither flags nor config have it`, { help: how });
  }
  const { $schema: _, ...rest } = merged;
  return { ...rest, set } as TrainConfig;
}

const defined = (layer: TrainFile): TrainFile =>
  Object.fromEntries(Object.entries(layer).filter(([, value]) => value !== undefined));

/** Reads a config file. Errors: DIT4001, DIT4241 (not JSON, or not as the schema says). */
export function readConfig(path: string): Promise<TrainFile> {
  const keys = Object.keys(trainSchema.entries).filter((key) => key !== "$schema");
  return readJsonFile(path, trainSchema, {
    code: "DIT4241",
    what: "a training configuration",
    help: {
      json: "schemas/train.schema.json says what it may hold",
      schema: `its keys are ${keys.join(", ")}; schemas/train.schema.json describes them`,
    },
  });
}

/** Settings as `compile` takes them. */
export const settingsOf = ({ set, accumulate = 1 }: Pick<TrainFile, "set" | "accumulate">): string[] =>
  Object.entries({ ...set, ...(accumulate > 1 ? { accumulate } : {}) }).map(([key, value]) => `${key}=${value}`);
