/**
 * `--format onnx`: the forward pass as one .onnx file, with its weights inside, or, where they are asked for apart or would make it larger
 * than the 2 GB that the format allows, in a .onnx.data beside it. Both are written tensor by tensor.
 */
import type { FileHandle } from "node:fs/promises";
import { basename } from "node:path";
import { InternalError } from "../../diagnostics/diagnostic.js";
import { writeAtomic } from "../../formats/files.js";
import type { TensorType } from "../../ir/types.js";
import { compacted, type ExportedModel } from "../model.js";
import type { ExportedWeights } from "../weights.js";
import { onnxGraph } from "./build.js";
import { modelProto } from "./proto.js";
import type { Piece } from "./protobuf.js";

/** A message of protocol buffers is at most this long; some is left for all that is no weight. */
const LARGEST = 2 ** 31 - 1;
const REST = 2 ** 26;
/** Readers map the data into memory by pages. */
const PAGE = 4096;

export interface OnnxOptions {
  readonly version: string;
  /** Weights in a file of their own in any case. */
  readonly external?: boolean;
}

export interface OnnxFiles {
  readonly nodes: number;
  /** The file of weights, where there is one. */
  readonly data: string | undefined;
  readonly bytes: number;
}

/** Errors: DIT7060 (an op has no form), DIT4002 (the system refuses), those of the weights. */
export async function writeOnnx(
  path: string,
  model: ExportedModel,
  weights: ExportedWeights,
  { version, external = false }: OnnxOptions,
): Promise<OnnxFiles> {
  const fn = compacted(model.forward.fn);
  const parameters = fn.params.filter((p) => p.kind === "parameter").map(({ name, value }) => ({ name, type: value.type }));
  const total = parameters.reduce((sum, { type }) => sum + bytesOf(type), 0);
  const apart = external || total > LARGEST - REST;
  const location = `${basename(path)}.data`;
  const layout = new Map<string, number>();
  let end = 0;
  for (const { name, type } of apart ? parameters : []) {
    layout.set(name, end);
    end += Math.ceil(bytesOf(type) / PAGE) * PAGE;
  }
  const graph = onnxGraph(model.name, fn, (name, type) => {
    const { dtype, shape } = type;
    const form = { dtype, shape: shape as readonly number[] };
    const table = model.forward.tables.get(name);
    if (table) return { ...form, data: tableBytes(table, type) };
    const length = bytesOf(type);
    const offset = layout.get(name);
    if (offset !== undefined) return { ...form, data: { location, offset, length } };
    return { ...form, data: { length, read: async () => raw(await weights.read(name)) } };
  });
  const message = modelProto(
    graph,
    { name: "dit-compile", version },
    {
      model: model.name,
      ...(model.preset ? { preset: model.preset } : {}),
      config: JSON.stringify(model.config),
    },
  );
  // The weights come first: a model that is there finds them.
  if (apart) {
    await writeAtomic(`${path}.data`, async (file) => {
      for (const { name, type } of parameters) {
        const padding = new Uint8Array(-bytesOf(type) & (PAGE - 1));
        await write(file, [{ length: bytesOf(type), read: async () => raw(await weights.read(name)) }, padding]);
      }
    });
  }
  await writeAtomic(path, (file) => write(file, message.pieces));
  return { nodes: graph.nodes.length, data: apart ? `${path}.data` : undefined, bytes: message.length + end };
}

async function write(file: FileHandle, pieces: readonly Piece[]): Promise<void> {
  // Small pieces are gathered, or each of thousands of numbers would be a write of its own.
  let small: Uint8Array[] = [];
  const flush = async () => {
    if (small.length > 0) await file.writeFile(Buffer.concat(small));
    small = [];
  };
  for (const piece of pieces) {
    if (piece instanceof Uint8Array && piece.length < 2 ** 16) {
      small.push(piece);
      continue;
    }
    await flush();
    const bytes = piece instanceof Uint8Array ? piece : await piece.read();
    if (bytes.length !== piece.length) throw new InternalError(`a tensor has ${bytes.length} bytes, expected ${piece.length}`);
    await file.writeFile(bytes);
  }
  await flush();
}

const bytesOf = (type: TensorType): number => 4 * (type.shape as readonly number[]).reduce((n, size) => n * size, 1);

const raw = ({ buffer, byteOffset, byteLength }: Float32Array | Int32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const tableBytes = (table: Float64Array, { dtype }: TensorType): Uint8Array =>
  raw(dtype === "i32" ? Int32Array.from(table) : Float32Array.from(table));
