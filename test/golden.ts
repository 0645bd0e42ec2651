/**
 * Expected numbers for the tests: safetensors files and their tolerances in test/golden.
 * They were computed in f64 from f32 inputs; a tolerance is 20 times what plain f32 arithmetic deviates, so a pass means
 * "f32 and right", and small slips (a wrong epsilon, erf for tanh, sines and cosines swapped) fail.
 *
 * To be small, these files are cut: of attention over 256 tokens they hold one head; of the models all weights and the gradients of the
 * loss, but other results only of the smaller weights. DIT_GOLDEN=<folder> takes the files of another folder, where they may be whole;
 * whatever a file holds is compared.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseSafetensors, type StoredTensor, type TensorData } from "../src/formats/safetensors.js";

export interface Tolerance {
  /** Largest allowed |got - expected|. */
  readonly atol?: number;
  /** Largest allowed ||got - expected|| / ||expected||. */
  readonly rel_l2?: number;
  /** Rows a .. b-1 are left out (the bias of K: its true gradient is zero and Adam only amplifies rounding). */
  readonly ignore_slice?: readonly [number, number];
}

export interface GoldenCase {
  readonly inputs?: readonly string[];
  readonly params?: Readonly<Record<string, unknown>>;
  readonly note?: string;
  readonly outputs?: Readonly<Record<string, Tolerance>>;
  readonly [other: string]: unknown;
}

export interface GoldenFile {
  readonly file: string;
  /** What the manifest says about the file: its config and the like. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly cases: Readonly<Record<string, GoldenCase>>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** A tensor by its full name; throws when the file has none of this name. */
  get(name: string): StoredTensor;
  /** Data of an F32 tensor. */
  f32(name: string): Float32Array;
  f64(name: string): Float64Array;
  i32(name: string): Int32Array;
  /** Weights: all tensors `w/<key>` by key. */
  weights(): Map<string, StoredTensor>;
  tolerance(name: string): Tolerance;
  /** Compares with the manifest's tolerance for this output: undefined when right, else what differs. */
  check(name: string, got: ArrayLike<number>): string | undefined;
}

const folder = process.env.DIT_GOLDEN ?? join(import.meta.dirname, "golden");
const read = (name: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(folder, name)));

/** A JSON file of test/golden: "init.json", "models.json", "manifest.json". */
export const goldenJson = (name: string): unknown => JSON.parse(new TextDecoder().decode(read(name)));

interface Manifest {
  readonly files: Readonly<Record<string, { readonly cases: Record<string, GoldenCase>; readonly [other: string]: unknown }>>;
}

const loaded = new Map<string, GoldenFile>();

/** A golden file by name, like "ops" or "ops.safetensors"; read once. */
export function golden(name: string): GoldenFile {
  const file = name.endsWith(".safetensors") ? name : `${name}.safetensors`;
  const known = loaded.get(file);
  if (known) return known;
  const entry = (goldenJson("manifest.json") as Manifest).files[file];
  if (!entry) throw new Error(`test/golden/manifest.json has no ${file}`);
  const { tensors } = parseSafetensors(read(file), file);
  const get = (tensor: string): StoredTensor => {
    const found = tensors.get(tensor);
    if (!found) throw new Error(`${file} has no tensor "${tensor}"; it has ${[...tensors.keys()].slice(0, 8).join(", ")}, ...`);
    return found;
  };
  const typed = <T extends TensorData>(tensor: string, type: new (n: number) => T): T => {
    const { data, dtype } = get(tensor);
    if (!(data instanceof type)) throw new Error(`${file}: "${tensor}" is ${dtype}, not a ${type.name}`);
    return data;
  };
  const outputs = Object.assign({}, ...Object.values(entry.cases).map((c) => c.outputs ?? {})) as Record<string, Tolerance>;
  const tolerance = (tensor: string): Tolerance => {
    const found = outputs[tensor];
    if (!found) throw new Error(`the manifest gives no tolerance for "${tensor}" of ${file}`);
    return found;
  };
  const result: GoldenFile = {
    file,
    config: entry,
    cases: entry.cases,
    tensors,
    get,
    f32: (tensor) => typed(tensor, Float32Array),
    f64: (tensor) => typed(tensor, Float64Array),
    i32: (tensor) => typed(tensor, Int32Array),
    weights: () =>
      new Map([...tensors].flatMap(([key, tensor]) => (key.startsWith("w/") ? [[key.slice(2), tensor] as const] : []))),
    tolerance,
    check(tensor, got) {
      const { data, shape } = get(tensor);
      return check(`${file}: ${tensor}`, got, data as ArrayLike<number>, tolerance(tensor), shape);
    },
  };
  loaded.set(file, result);
  return result;
}

/** `npm run fidelity` gives a file, to which every comparison is added as a line of JSON. */
function note(name: string, found: Readonly<Record<string, number>>): void {
  const file = process.env.DIT_FIDELITY;
  if (file) appendFileSync(file, `${JSON.stringify({ project: process.env.DIT_TEST_PROJECT, name, ...found })}\n`);
}

/**
 * Undefined when `got` is within the tolerance of `expected`; otherwise a sentence with the worst element (by place when the shape is
 * given), both numbers and both errors. Use: `expect(check(...)).toBeUndefined()`.
 */
export function check(
  name: string,
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  { atol = Number.POSITIVE_INFINITY, rel_l2: relative = Number.POSITIVE_INFINITY, ignore_slice: ignored }: Tolerance,
  shape: readonly number[] = [expected.length],
): string | undefined {
  if (got.length !== expected.length) return `${name}: ${got.length} elements, expected ${expected.length} [${shape.join(", ")}]`;
  const row = expected.length / (shape[0] || 1);
  let [worst, at, squares, total, wrong] = [-1, 0, 0, 0, 0];
  for (let i = 0; i < expected.length; i++) {
    if (ignored && i >= ignored[0] * row && i < ignored[1] * row) continue;
    const error = Math.abs(got[i]! - expected[i]!);
    if (!(error <= atol)) wrong++;
    // NaN counts as the worst there is, the first of them.
    const size = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
    if (size > worst) [worst, at] = [size, i];
    squares += error * error;
    total += expected[i]! ** 2;
  }
  const ratio = squares === 0 ? 0 : Math.sqrt(squares / total);
  note(name, { difference: worst, atol, ratio, relative });
  if (wrong === 0 && (ratio <= relative || relative === Number.POSITIVE_INFINITY)) return undefined;
  const place: number[] = [];
  for (let axis = shape.length - 1, rest = at; axis >= 0; rest = Math.floor(rest / shape[axis]!), axis--)
    place.unshift(rest % shape[axis]!);
  return [
    `${name} [${shape.join(", ")}]: worst at [${place.join(", ")}]: got ${got[at]}, expected ${expected[at]}`,
    `error ${worst.toExponential(2)} (atol ${atol}); ${wrong} of ${expected.length} elements outside`,
    `relative L2 error ${ratio.toExponential(2)} (allowed ${relative})`,
  ].join("; ");
}
