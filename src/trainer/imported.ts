/**
 * Checkpoints of other programs as this one keeps them: a file of weights by official names, or the folder of a run that `sample` draws
 * from and `train --resume` goes on with. Numbers pass through a tensor at a time.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Guessed, Hints, Named } from "../checkpoints/config.js";
import type { Checkpoint } from "../checkpoints/open.js";
import { optimizerState } from "../checkpoints/optimizer.js";
import { type DitWeights, ditWeights, withHeads } from "../checkpoints/weights.js";
import { fail } from "../diagnostics/diagnostic.js";
import { writeFileAtomic } from "../formats/files.js";
import { toFloat32 } from "../formats/floats.js";
import type { TensorData, TensorInfo } from "../formats/safetensors.js";
import { writeSafetensorsFile } from "../formats/safetensors-file.js";
import { checkFinite } from "../formats/state-dict.js";
import { asFloat32, type TensorView } from "../formats/tensor-view.js";
import { checkpointPath, listCheckpoints, writeState } from "./checkpoint.js";
import { RunFolder } from "./run-folder.js";
import type { TrainFile } from "./train-config.js";

type Views = ReadonlyMap<string, TensorView>;
export type OnTensor = (done: number, total: number) => void;

/** Reads tensors one by one, and says how far it is. */
const counted = (views: Views, onTensor: OnTensor, check: (name: string, data: TensorData) => void = () => {}) => {
  let done = 0;
  return async (name: string): Promise<TensorData> => {
    const data = await views.get(name)!.read();
    check(name, data);
    onTensor(++done, views.size);
    return data;
  };
};

/** Writes tensors as they are. Errors: DIT4002, and those of reading. */
export async function writeTensors(
  path: string,
  views: Views,
  metadata: Readonly<Record<string, string>>,
  onTensor: OnTensor = () => {},
): Promise<void> {
  await writeSafetensorsFile(path, views, metadata, counted(views, onTensor));
}

/** Weights under official names, which `run`, `sample` and `train --weights` read. Error: DIT4207 (a weight is not finite). */
export async function importWeights(
  path: string,
  { label, tensors, named, part }: DitWeights,
  onTensor: OnTensor = () => {},
): Promise<void> {
  const finite = (name: string, data: TensorData): void => {
    const { dtype, shape } = tensors.get(name)!;
    checkFinite(label, name, shape, toFloat32({ dtype, shape, data })!);
  };
  const average: Record<string, string> = part === "ema" ? { average: "ema" } : {};
  const metadata = { format: "pt", model: "DiT", preset: named.preset ?? "", imported: label, ...average };
  await writeSafetensorsFile(path, tensors, metadata, counted(tensors, onTensor, finite));
}

export interface ImportedRun {
  readonly steps: number;
  readonly samples: number;
  readonly config: TrainFile;
}

export interface ImportRunOptions {
  /** The model file that train.json names. */
  readonly model: string;
  readonly hints: Hints;
  readonly onTensor?: OnTensor;
}

/**
 * A run folder of a training checkpoint: weights and their average, and a checkpoint with the optimizer's state.
 * Errors: DIT4243 (there is a run), DIT4078 (no optimizer state, or one that does not fit), and those of ditWeights and importWeights.
 */
export async function importRun(path: string, checkpoint: Checkpoint, options: ImportRunOptions): Promise<ImportedRun> {
  const { onTensor = () => {}, hints } = options;
  const { label, args } = checkpoint;
  const folder = new RunFolder(path);
  if (folder.exists) {
    fail("DIT4243", `there is a run in ${path} already`, { help: "name another --output, or remove the folder" });
  }
  const optimizer = await optimizerState(checkpoint);
  if (!optimizer) {
    return fail("DIT4078", `${label} is no training checkpoint: it has no optimizer state beside the parts model and ema`, {
      notes: [`its parts are ${[...checkpoint.parts.keys()].join(", ")}`],
      help: "import the weights alone: -o FILE.safetensors; sample draws with them, train --weights FILE begins with them",
    });
  }
  const [model, ema] = [ditWeights(checkpoint, "model", hints), ditWeights(checkpoint, "ema", hints)];
  const config = withHeads(model);
  const count = (key: string, otherwise: number): number => {
    const value = args.get(key);
    return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : otherwise;
  };
  const { steps } = optimizer;
  const batch = Math.max(1, count("global_batch_size", 256));
  const seed = count("global_seed", 0) % 2 ** 32;
  const samples = steps * batch;

  const views = stateViews(model.tensors, ema.tensors, optimizer, steps);
  const file = checkpointPath(join(path, "checkpoints"), steps);
  const facts = {
    ...{ steps, samples, seed, batch, accumulate: 1, program: "", adapter: "", variants: {} },
    model: { name: "DiT", preset: model.named.preset ?? "", config: { ...config, ...optimizer.settings } },
    imported: label,
  };
  const read = counted(views, onTensor, (name, data) => {
    if (data instanceof Float32Array) checkFinite(label, name, views.get(name)!.shape, data);
  });
  await writeState(file, views, facts, read);
  await importWeights(folder.at("weights.safetensors"), ema);
  await importWeights(folder.at("weights-raw.safetensors"), model);
  const train: TrainFile = {
    model: options.model,
    ...presetOf(model.named, config),
    batch,
    seed,
    steps: Math.max(1, steps),
  };
  // The official trainer's average has no warm-up.
  const guided = config.numClasses > 0 && config.classDropoutProb > 0;
  const set = { ...train.set, ...optimizer.settings, emaWarmup: false, ...(guided ? {} : { guidance: 1 }) };
  const written = { ...train, set };
  await writeFileAtomic(folder.at("train.json"), `${JSON.stringify(written, null, 2)}\n`);
  return { steps, samples, config: written };
}

/** Preset and settings as train.json has them; a model that is like no preset has all settings. */
function presetOf({ preset, set }: Named, config: Guessed): Pick<TrainFile, "preset" | "set"> {
  return preset === undefined ? { set: { ...config } } : { preset, set: { ...set } };
}

/** The session's names: p.*, m.*, v.*, ema.* and step. What was never trained has no moments; what has none yet begins at zero. */
function stateViews(
  model: Views,
  ema: Views,
  { moments }: { readonly moments: ReadonlyMap<string, { readonly m: TensorView; readonly v: TensorView }> },
  steps: number,
): Map<string, TensorView> {
  const views = new Map<string, TensorView>();
  for (const [name, view] of model) views.set(`p.${name}`, asFloat32(name, view));
  for (const [name, view] of model) {
    if (name === "pos_embed") continue;
    const zeros = zerosLike(view);
    const { m, v } = moments.get(name) ?? { m: zeros, v: zeros };
    views.set(`m.${name}`, asFloat32(name, m));
    views.set(`v.${name}`, asFloat32(name, v));
    views.set(`ema.${name}`, asFloat32(name, ema.get(name)!));
  }
  views.set("step", { dtype: "I32", shape: [], read: async () => Int32Array.of(steps) });
  return views;
}

const zerosLike = ({ shape }: TensorInfo): TensorView => ({
  dtype: "F32",
  shape,
  read: async () => new Float32Array(shape.reduce((product, size) => product * size, 1)),
});

/** The file of a run's weights: those that training ended with, or of one that has not ended the newest checkpoint. */
export function weightsOfRun(path: string, which: "ema" | "model"): string {
  const file = join(path, which === "ema" ? "weights.safetensors" : "weights-raw.safetensors");
  return existsSync(file) ? file : (listCheckpoints(join(path, "checkpoints"))[0]?.path ?? file);
}
