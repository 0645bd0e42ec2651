/**
 * Weights from a safetensors file into a session, tensor by tensor, so that a file of any size takes the memory of its largest tensor.
 * The whole header is held against the program first: whatever is missing, left over or of another shape is one error.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { fileSize, readFileRange } from "../formats/files.js";
import { toFloat32 } from "../formats/floats.js";
import { elements, headerLength, readHeader, type SafetensorsHeader } from "../formats/safetensors.js";
import type { Program } from "../program/program.js";
import type { Session } from "../runtime/session.js";

export interface WeightsFile {
  readonly path: string;
  readonly header: SafetensorsHeader;
}

const floats: readonly string[] = ["F32", "F64", "F16", "BF16"];
/** More names of one sort than this help nobody. */
const MOST_NAMES = 20;

/** Reads the header of a weights file and checks it. Errors: DIT40xx (not safetensors), DIT7021 with all that does not fit. */
export async function openWeights(path: string, program: Program): Promise<WeightsFile> {
  const bytes = await fileSize(path);
  const length = headerLength(await readFileRange(path, 0, Math.min(8, bytes)), path, bytes);
  const header = readHeader(await readFileRange(path, 0, 8 + length), path, bytes);
  const keys = new Set(program.parameters.map(({ name }) => name));
  const missing: string[] = [];
  const misfits: string[] = [];
  for (const { name, shape } of program.parameters) {
    const found = header.entries.get(name);
    if (!found) missing.push(`${name} [${shape.join(", ")}]`);
    else if (found.shape.join() !== shape.join())
      misfits.push(`${name}: [${found.shape.join(", ")}], expected [${shape.join(", ")}]`);
    else if (!floats.includes(found.dtype)) misfits.push(`${name}: ${found.dtype}, expected F32, F64, F16 or BF16`);
  }
  const extra = [...header.entries.keys()].filter((name) => !keys.has(name));
  const sorts = [
    ["missing", missing],
    ["of another shape or type", misfits],
    ["not in the model", extra],
  ] as const;
  const wrong = sorts.filter(([, names]) => names.length > 0);
  if (wrong.length > 0) {
    const { name, preset } = program.model;
    fail(
      "DIT7021",
      `${path} does not fit ${name} ${preset}: ${wrong.map(([sort, names]) => `${names.length} ${sort}`).join(", ")}`,
      {
        notes: wrong.flatMap(([sort, names]) => [
          ...names.slice(0, MOST_NAMES).map((text) => `${sort}: ${text}`),
          ...(names.length > MOST_NAMES ? [`${sort}: and ${names.length - MOST_NAMES} more`] : []),
        ]),
        help: "weights have the model's own state-dict keys; is it the same preset, with the same settings?",
      },
    );
  }
  return { path, header };
}

/**
 * Writes all weights that the session has, and their averages (`ema.<key>`) as copies of them where `ema` is set. `skip` names
 * tensors that come from elsewhere.
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
      for (const name of wanted) await session.write(name, data);
    }
    onTensor?.(++done, header.entries.size);
  }
}
