/** The weights that an export takes along, held against the model's parameters and read a tensor at a time. */
import { checkFinite, checkStateDict } from "../formats/state-dict.js";
import { asFloat32, type TensorView } from "../formats/tensor-view.js";
import type { ExportedModel } from "./model.js";

export interface ExportedWeights {
  /** A parameter's values, row-major. Errors: those of reading, DIT4207 (a weight is not finite). */
  read(name: string): Promise<Float32Array>;
}

/** `label` names where the tensors come from. Error: DIT4206 (names or shapes are not the model's). */
export function exportedWeights(
  label: string,
  tensors: ReadonlyMap<string, TensorView>,
  { name: title, preset = "", forward }: ExportedModel,
): ExportedWeights {
  const parameters = forward.params.map(({ name, type }) => ({ name, shape: type.shape as readonly number[] }));
  checkStateDict(label, tensors, { model: { name: title, preset }, parameters });
  return {
    read: async (name) => {
      const view = asFloat32(name, tensors.get(name)!);
      const values = (await view.read()) as Float32Array;
      checkFinite(label, name, view.shape, values);
      return values;
    },
  };
}
