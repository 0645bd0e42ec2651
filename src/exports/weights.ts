/** The weights that an export takes along: a safetensors file held against the model's parameters, read a tensor at a time. */
import { readFileRange } from "../formats/files.js";
import { toFloat32 } from "../formats/floats.js";
import { elements } from "../formats/safetensors.js";
import { readSafetensorsHeader } from "../formats/safetensors-file.js";
import { checkFinite, checkStateDict } from "../formats/state-dict.js";
import type { ExportedModel } from "./model.js";

export interface ExportedWeights {
  /** A parameter's values, row-major. Errors: DIT4001, DIT4207 (a weight is not finite). */
  read(name: string): Promise<Float32Array>;
}

/** Errors: DIT4001, those of a safetensors header, DIT4206 (names or shapes are not the model's). */
export async function openWeights(path: string, model: ExportedModel): Promise<ExportedWeights> {
  const { entries } = await readSafetensorsHeader(path);
  const parameters = model.forward.params.map(({ name, type }) => ({ name, shape: type.shape as readonly number[] }));
  checkStateDict(path, entries, { model: { name: model.name, preset: model.preset ?? "" }, parameters });
  return {
    read: async (name) => {
      const { dtype, shape, begin, end } = entries.get(name)!;
      const values = toFloat32({ dtype, shape, data: elements(dtype, await readFileRange(path, begin, end)) })!;
      checkFinite(path, name, shape, values);
      return values;
    },
  };
}
