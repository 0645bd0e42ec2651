/**
 * A weights file held against a program's parameter table, before anything is made of it: whatever is missing, of another shape, or
 * left over is one error that lists it. A left-over tensor is an error too: the weights are then of another model than this one.
 */
import { fail } from "../diagnostics/diagnostic.js";
import type { Program } from "../program/program.js";
import type { SafetensorsDtype } from "./safetensors.js";

const floats: readonly SafetensorsDtype[] = ["F32", "F64", "F16", "BF16"];
/** More names of one sort than this help nobody. */
const MOST_NAMES = 5;

/** A program, or as much of one as is known of a model without compiling it. */
export interface Expected {
  readonly parameters: readonly Pick<Program["parameters"][number], "name" | "shape">[];
  readonly model: Pick<Program["model"], "name" | "preset">;
}

/** Names, dtypes and shapes of a file against those of the program. Error: DIT4206. */
export function checkStateDict(
  path: string,
  found: ReadonlyMap<string, { readonly dtype: SafetensorsDtype; readonly shape: readonly number[] }>,
  program: Expected,
): void {
  const missing: string[] = [];
  const misfits: string[] = [];
  for (const { name, shape } of program.parameters) {
    const tensor = found.get(name);
    const expected = `expected f32 [${shape.join(", ")}]`;
    if (!tensor) missing.push(`missing: ${name}, ${expected}`);
    else if (tensor.shape.join() !== shape.join() || !floats.includes(tensor.dtype)) {
      misfits.push(`${name}: ${expected}, found ${tensor.dtype} [${tensor.shape.join(", ")}]`);
    }
  }
  const keys = new Set(program.parameters.map(({ name }) => name));
  const extra = [...found.keys()].filter((name) => !keys.has(name)).map((name) => `not in the model: ${name}`);
  const sorts = [
    ["missing", missing],
    ["of another shape or type", misfits],
    ["not in the model", extra],
  ] as const;
  const wrong = sorts.filter(([, names]) => names.length > 0);
  if (wrong.length === 0) return;
  const { name, preset } = program.model;
  const counts = wrong.map(([sort, names]) => `${names.length} ${sort}`).join(", ");
  fail("DIT4206", `${path} does not hold the weights of ${name}${preset ? `, preset ${preset}` : ""}: ${counts}`, {
    notes: wrong.flatMap(([sort, names]) => [
      ...names.slice(0, MOST_NAMES),
      ...(names.length > MOST_NAMES ? [`${sort}: and ${names.length - MOST_NAMES} more`] : []),
    ]),
    help: "give the preset and settings that the weights were trained with",
  });
}

/** A weight that is not a number spoils every number that it meets. Error: DIT4207, with the first one's index. */
export function checkFinite(path: string, name: string, shape: readonly number[], values: Float32Array): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const index: number[] = [];
  let rest = at;
  for (const size of shape.toReversed()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  const count = values.reduce((n, value) => n + (Number.isFinite(value) ? 0 : 1), 0);
  fail("DIT4207", `${path}: weight "${name}"[${index.join(", ")}] is ${values[at]}, expected a finite number`, {
    notes: [`${count} of its ${values.length} numbers are not finite`],
    help: "the training that made the file has diverged, or the file is damaged: take an earlier one",
  });
}
