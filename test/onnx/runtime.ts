/** onnxruntime for the tests, with just the types that they use; installed by test/onnx/runtime's lock file when it is missing. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { installApart } from "../../scripts/install-apart.mjs";

export type Elements = Float32Array | Int32Array | Uint32Array | Uint8Array;

interface OrtTensor {
  readonly data: Elements;
  readonly dims: readonly number[];
}
interface OrtSession {
  run(feeds: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}
interface Ort {
  readonly Tensor: new (type: string, data: Elements, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: { create(model: string | Uint8Array, options?: object): Promise<OrtSession> };
}

const folder = join(import.meta.dirname, "runtime");
let loaded: Ort | undefined;

export function onnxruntime(): Ort {
  if (loaded) return loaded;
  installApart(folder);
  loaded = createRequire(join(folder, "package.json"))("onnxruntime-node") as Ort;
  return loaded;
}

export interface Given {
  readonly type: "float32" | "int32" | "uint32" | "bool";
  readonly data: Elements;
  readonly shape: readonly number[];
}

/** Runs a model, from its bytes or its file, once. */
export async function runOnnx(
  model: string | Uint8Array,
  inputs: Readonly<Record<string, Given>>,
): Promise<Readonly<Record<string, OrtTensor>>> {
  const ort = onnxruntime();
  const session = await ort.InferenceSession.create(model, { logSeverityLevel: 3, intraOpNumThreads: 1 });
  try {
    const feeds = Object.entries(inputs).map(([name, { type, data, shape }]) => [name, new ort.Tensor(type, data, shape)]);
    return await session.run(Object.fromEntries(feeds));
  } finally {
    await session.release();
  }
}
