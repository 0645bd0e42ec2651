/** A tensor whose numbers are read when they are asked for: what a file's directory says of it, and a way to the rest. */
import { fail } from "../diagnostics/diagnostic.js";
import { toFloat32 } from "./floats.js";
import { elements, headerLength, readHeader, type SafetensorsHeader, type TensorData, type TensorInfo } from "./safetensors.js";
import type { Source } from "./source.js";

export interface TensorView extends TensorInfo {
  /** All its elements, row-major, in an array of their own. */
  read(): Promise<TensorData>;
}

/** The header of a safetensors file. Errors: DIT4001, and those of readHeader. */
export async function readSourceHeader(source: Source): Promise<{ bytes: Uint8Array<ArrayBuffer>; header: SafetensorsHeader }> {
  const { label, size } = source;
  const length = headerLength(await source.read(0, Math.min(8, size)), label, size);
  const bytes = await source.read(0, 8 + length);
  return { bytes, header: readHeader(bytes, label, size) };
}

/** The tensors of a safetensors file, in the order of its header. Errors as above. */
export async function readSafetensorsViews(
  source: Source,
): Promise<{ views: Map<string, TensorView>; metadata: ReadonlyMap<string, string> }> {
  const { header } = await readSourceHeader(source);
  const views = new Map<string, TensorView>();
  for (const [name, { dtype, shape, begin, end }] of header.entries) {
    views.set(name, { dtype, shape, read: async () => elements(dtype, await source.read(begin, end)) });
  }
  return { views, metadata: header.metadata };
}

/** The same tensor as f32: halves are widened, F64 is rounded. Error when it is read: DIT4206 (it is one of whole numbers). */
export const asFloat32 = (name: string, view: TensorView): TensorView => ({
  dtype: "F32",
  shape: view.shape,
  async read() {
    const { dtype, shape } = view;
    const data = await view.read();
    return toFloat32({ dtype, shape, data }) ?? fail("DIT4206", `tensor "${name}" is ${dtype}, expected real numbers`);
  },
});
