/**
 * Weights as training and sampling know them: f32 tensors by state-dict key, all in memory or read one by one. Made fresh by the program's
 * own rules, or read from a file and checked against its parameter table; written as safetensors under the official names, so that other
 * programs read them.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { type StoredTensor, type TensorData, writeSafetensors } from "../formats/safetensors.js";
import { writeSafetensorsFile } from "../formats/safetensors-file.js";
import { inMemoryWeights, openWeights, type ReadWeight } from "../node/weights.js";
import { numberToHalf } from "../program/half.js";
import type { Bundle, Program } from "../program/program.js";
import { type InitParameter, initialise, initialiser } from "./init.js";

export type Weights = ReadonlyMap<string, Float32Array>;

/** Weights in memory, or a way to read them one by one. */
export type WeightSource = Weights | ReadWeight;

export const readerOf = (weights: WeightSource): ReadWeight =>
  typeof weights === "function" ? weights : inMemoryWeights(weights);

/** Fresh weights of all parameters: a function of the program's table and the seed. */
export const freshWeights = (bundle: Bundle, seed: number): Map<string, Float32Array<ArrayBuffer>> =>
  initialise(initParameters(bundle), seed);

/** The same, made one by one when they are asked for. */
export function freshly(bundle: Bundle, seed: number): ReadWeight {
  const make = initialiser(initParameters(bundle), seed);
  return async (key) => make(key);
}

const initParameters = ({ program, constants }: Bundle): InitParameter[] =>
  program.parameters.map(({ name, shape, init }): InitParameter => {
    if (init.rule !== "table") return { name, shape, init };
    const table = program.constants.find((constant) => constant.name === init.constant);
    if (!table)
      fail("DIT4204", `the program has no table "${init.constant}" for parameter "${name}"`, { help: "compile it again" });
    const begin = table.offset;
    const bytes = constants.slice(begin, begin + 4 * countOf(table.shape));
    return { name, shape, init: { rule: "table", data: new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) } };
  });

const metadataOf = ({ model, hash }: Program, more: Readonly<Record<string, string>>): Record<string, string> => ({
  format: "pt",
  model: model.name,
  preset: model.preset,
  program: hash,
  ...more,
});

/** Writes all parameters in state-dict order, a tensor at a time. `metadata` joins what says where they come from. Error: DIT4002. */
export async function writeWeightsFile(
  path: string,
  program: Program,
  read: ReadWeight,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const tensors = new Map(program.parameters.map(({ name, shape }) => [name, { dtype: "F32" as const, shape }]));
  await writeSafetensorsFile(path, tensors, metadataOf(program, metadata), async (name) => (await read(name)) as TensorData);
}

/** The bytes of such a file, of weights that are in memory; F16 rounds to the nearest. */
export function weightsFile(
  program: Program,
  weights: Weights,
  metadata: Readonly<Record<string, string>> = {},
  dtype: "F32" | "F16" = "F32",
): Uint8Array {
  const tensors = new Map(
    program.parameters.map(({ name, shape }): [string, StoredTensor] => {
      const data = weights.get(name) ?? fail("DIT4205", `there is no weight "${name}" to write`);
      return [name, { dtype, shape, data: dtype === "F16" ? Uint16Array.from(data, numberToHalf) : data }];
    }),
  );
  return writeSafetensors(tensors, metadataOf(program, metadata));
}

/** All of a weights file at once, for a model that is small. Errors: those of openWeights. */
export async function readWeights(path: string, program: Program): Promise<Map<string, Float32Array>> {
  const read = await openWeights(path, program);
  const weights = new Map<string, Float32Array>();
  for (const { name } of program.parameters) weights.set(name, await read(name));
  return weights;
}

const countOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
