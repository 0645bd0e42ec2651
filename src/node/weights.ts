/**
 * Weights from a safetensors file into a session, tensor by tensor, so that a file of any size takes the memory of its largest tensor.
 * The whole header is held against the program first, each tensor's numbers when they are read.
 */
import { readFileRange } from "../formats/files.js";
import { toFloat32 } from "../formats/floats.js";
import { elements, type SafetensorsHeader } from "../formats/safetensors.js";
import { readSafetensorsHeader } from "../formats/safetensors-file.js";
import { checkFinite, checkStateDict } from "../formats/state-dict.js";
import type { Program } from "../program/program.js";
import type { Session } from "../runtime/session.js";

export interface WeightsFile {
  readonly path: string;
  readonly header: SafetensorsHeader;
}

/** Reads the header of a weights file and checks it. Errors: DIT40xx (not safetensors), DIT4206 with all that does not fit. */
export async function openWeights(path: string, program: Program): Promise<WeightsFile> {
  const header = await readSafetensorsHeader(path);
  checkStateDict(path, header.entries, program);
  return { path, header };
}

/**
 * Writes all weights that the session has, and their averages (`ema.<key>`) as copies of them where `ema` is set. `skip` names
 * tensors that come from elsewhere. Error: DIT4207 (a weight is not finite).
 */
export async function writeWeights(
  session: Session,
  { path, header }: WeightsFile,
  {
    ema = false,
    skip = new Set<string>(),
    onTensor,
  }: { ema?: boolean; skip?: ReadonlySet<string>; onTensor?: (done: number, total: number) => void } = {},
): Promise<void> {
  const names = new Set(session.names);
  let done = 0;
  for (const [key, { dtype, shape, begin, end }] of header.entries) {
    const wanted = [`p.${key}`, ...(ema ? [`ema.${key}`] : [])].filter((name) => names.has(name) && !skip.has(name));
    if (wanted.length > 0) {
      const data = toFloat32({ dtype, shape, data: elements(dtype, await readFileRange(path, begin, end)) })!;
      checkFinite(path, key, shape, data);
      for (const name of wanted) await session.write(name, data);
    }
    onTensor?.(++done, header.entries.size);
  }
}
