/**
 * The one way of weights into a session: each tensor is asked for when it is its turn and written, so that a model of any size takes the
 * memory of its largest tensor. Where they come from does not matter: a file, a seed, another session.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { readFileRange } from "../formats/files.js";
import { toFloat32 } from "../formats/floats.js";
import { elements } from "../formats/safetensors.js";
import { readSafetensorsHeader } from "../formats/safetensors-file.js";
import { checkFinite, checkStateDict } from "../formats/state-dict.js";
import type { Program } from "../program/program.js";
import { collectAfter } from "../runtime/node/heap.js";
import type { Session } from "../runtime/session.js";

/** Gives a weight by its state-dict key. */
export type ReadWeight = (key: string) => Promise<Float32Array>;

/**
 * A safetensors file of weights. Its whole header is held against the program at once, each tensor's numbers when they are read.
 * Errors: DIT40xx (not safetensors), DIT4206 with all that does not fit; later DIT4207 (a weight is not finite).
 */
export async function openWeights(path: string, program: Program): Promise<ReadWeight> {
  const { entries } = await readSafetensorsHeader(path);
  checkStateDict(path, entries, program);
  return async (key) => {
    const { dtype, shape, begin, end } = entries.get(key)!;
    const data = toFloat32({ dtype, shape, data: elements(dtype, await readFileRange(path, begin, end)) })!;
    checkFinite(path, key, shape, data);
    return data;
  };
}

/** Weights that are in memory. Error, when it is read: DIT4205 (one is missing). */
export const inMemoryWeights =
  (weights: ReadonlyMap<string, Float32Array>): ReadWeight =>
  async (key) =>
    weights.get(key) ?? fail("DIT4205", `there is no weight "${key}"`, { help: "give all weights of the program" });

export interface WriteOptions {
  /** Write the averages (`ema.<key>`) as copies of the weights. */
  readonly ema?: boolean;
  /** Names of the session that come from elsewhere. */
  readonly skip?: ReadonlySet<string>;
  readonly onTensor?: ((done: number, total: number) => void) | undefined;
}

/** Bytes of weights that were read and written, before their memory is given back. */
const MOST_READ = 64 << 20;

/** Writes all weights that the session has. Errors: those of `read`. */
export async function writeWeights(
  session: Session,
  read: ReadWeight,
  { ema = false, skip = new Set(), onTensor }: WriteOptions = {},
): Promise<void> {
  const names = new Set(session.names);
  const { parameters } = session.program;
  let done = 0;
  for (const { name: key } of parameters) {
    const wanted = [`p.${key}`, ...(ema ? [`ema.${key}`] : [])].filter((name) => names.has(name) && !skip.has(name));
    if (wanted.length > 0) {
      const data = await read(key);
      for (const name of wanted) await session.write(name, data as Float32Array<ArrayBuffer>);
      collectAfter(MOST_READ);
    }
    onTensor?.(++done, parameters.length);
  }
}
