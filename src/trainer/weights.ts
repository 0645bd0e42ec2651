/**
 * Weights as the host knows them: f32 tensors by state-dict key. Made fresh by the program's own rules, or read from a file and
 * checked against its parameter table; written as safetensors under the official names, so that other programs read them.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { readFileBytes } from "../formats/files.js";
import { toFloat32 } from "../formats/floats.js";
import { parseSafetensors, type StoredTensor, writeSafetensors } from "../formats/safetensors.js";
import { checkFinite, checkStateDict } from "../formats/state-dict.js";
import { numberToHalf } from "../program/half.js";
import type { Bundle, Program } from "../program/program.js";
import { type InitParameter, initialise } from "./init.js";

export type Weights = ReadonlyMap<string, Float32Array>;

/** Fresh weights of all parameters: a function of the program's table and the seed. */
export function freshWeights({ program, constants }: Bundle, seed: number): Map<string, Float32Array<ArrayBuffer>> {
  const parameters = program.parameters.map(({ name, shape, init }): InitParameter => {
    if (init.rule !== "table") return { name, shape, init };
    const table = program.constants.find((constant) => constant.name === init.constant);
    if (!table)
      fail("DIT4204", `the program has no table "${init.constant}" for parameter "${name}"`, { help: "compile it again" });
    const begin = table.offset;
    const bytes = constants.slice(begin, begin + 4 * countOf(table.shape));
    return { name, shape, init: { rule: "table", data: new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) } };
  });
  return initialise(parameters, seed);
}

/** A weights file: all parameters in state-dict order. `metadata` joins what says where they come from. F16 rounds to the nearest. */
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
  const { name, preset } = program.model;
  return writeSafetensors(tensors, { format: "pt", model: name, preset, program: program.hash, ...metadata });
}

/** The program's parameters out of a safetensors file. Errors: DIT4206 (names, shapes), DIT4207 (a weight is not finite). */
export async function readWeights(path: string, program: Program): Promise<Map<string, Float32Array>> {
  const { tensors } = parseSafetensors(await readFileBytes(path), path);
  checkStateDict(path, tensors, program);
  const weights = new Map<string, Float32Array>();
  for (const { name, shape } of program.parameters) {
    const values = toFloat32(tensors.get(name)!)!;
    checkFinite(path, name, shape, values);
    weights.set(name, values);
  }
  return weights;
}

const countOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
