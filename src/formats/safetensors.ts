/**
 * Reader and writer of safetensors, the file format of weights that holds nothing but tensors.
 *
 * Layout: 8 bytes little-endian header length n, n bytes of JSON (name -> dtype, shape, data_offsets; `__metadata__` -> strings),
 * then the raw little-endian data. Idea: believe nothing. A header comes from a stranger's file, so each length, offset and
 * product is checked before a byte is touched, and what does not fit is one error that names the tensor.
 *
 * Bytes in, bytes out, no imports from Node: the same code reads weights in a web page. `readHeader` alone needs only the first
 * bytes of a file, so that big files can be fetched tensor by tensor.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { shown } from "../program/shown.js";

/** Bytes of one element. Half floats are kept as raw bits (see toFloat32), BOOL as 0 or 1 in a byte. */
const ELEMENT_BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, U32: 4, U8: 1, BOOL: 1 } as const;

export type SafetensorsDtype = keyof typeof ELEMENT_BYTES;
export type TensorData = Float64Array | Float32Array | Uint16Array | BigInt64Array | Int32Array | Uint32Array | Uint8Array;

export interface StoredTensor {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Row-major elements; the array type follows the dtype (F16 and BF16: Uint16Array of raw bits; BOOL: Uint8Array). */
  readonly data: TensorData;
}

/** Where a tensor lies: bytes begin..end-1 counted from the start of the file. */
export interface TensorEntry {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In the order of the header. */
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** The format's own limit: a longer header is a damaged length, not a model. */
const MAX_HEADER_BYTES = 100_000_000;
const HELP = "the file is damaged or is not a safetensors file: download or write it again";

/** What the metadata's "format" says of a whole training state (see src/trainer/checkpoint.ts). */
export const CHECKPOINT_FORMAT = "dit-compile checkpoint";

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/**
 * Length in bytes of the JSON header, from the first 8 bytes of a file of `fileBytes` bytes. The whole header then lies in
 * bytes 0 .. 8 + length - 1. Errors: DIT4010 (too short), DIT4011 (impossible length).
 */
export function headerLength(bytes: Uint8Array, label: string, fileBytes: number): number {
  if (bytes.length < 8) {
    fail("DIT4010", `${label}: not a safetensors file, it has ${bytes.length} bytes and the header length alone takes 8`, {
      help: HELP,
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  const length = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
  if (length > MAX_HEADER_BYTES || length > fileBytes - 8) {
    fail("DIT4011", `${label}: the header claims ${length} bytes, the file has ${fileBytes - 8} after the length`, {
      notes: [`a header may have at most ${MAX_HEADER_BYTES} bytes`],
      help: HELP,
    });
  }
  return length;
}

/**
 * Reads and checks the header. `bytes` must hold at least the header, `fileBytes` is the size of the whole file.
 * Errors: DIT4010, DIT4011, DIT4012 (not JSON), DIT4013 (an entry is malformed), DIT4014 (offsets do not fit).
 */
export function readHeader(bytes: Uint8Array, label: string, fileBytes: number = bytes.length): SafetensorsHeader {
  const length = headerLength(bytes, label, fileBytes);
  if (bytes.length < 8 + length) {
    fail("DIT4010", `${label}: the header needs ${8 + length} bytes, ${bytes.length} were read`, { help: HELP });
  }
  const json = parseJson(bytes.subarray(8, 8 + length), label);
  const start = 8 + length;
  const entries = new Map<string, TensorEntry>();
  const metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(json)) {
    if (name !== "__metadata__") {
      entries.set(name, readEntry(name, value, label, start, fileBytes));
      continue;
    }
    if (!isRecord(value))
      fail("DIT4013", `${label}: __metadata__ is ${shown(value)}, expected an object of strings`, { help: HELP });
    for (const [key, text] of Object.entries(value)) {
      if (typeof text !== "string") {
        fail("DIT4013", `${label}: __metadata__ entry ${shown(key)} is ${shown(text)}, expected a string`, { help: HELP });
      }
      metadata.set(key, text);
    }
  }
  checkCover(entries, label, start, fileBytes);
  return { entries, metadata };
}

function parseJson(bytes: Uint8Array, label: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    fail("DIT4012", `${label}: the header is not JSON`, {
      notes: [error instanceof Error ? error.message.split("\n")[0]!.slice(0, 120) : String(error)],
      help: HELP,
    });
  }
  return isRecord(json)
    ? json
    : fail("DIT4012", `${label}: the header is ${shown(json)}, expected a JSON object`, { help: HELP });
}

function readEntry(name: string, value: unknown, label: string, start: number, fileBytes: number): TensorEntry {
  const where = `${label}: tensor ${shown(name)}`;
  const bad = (what: string): never => fail("DIT4013", `${where} ${what}`, { help: HELP });
  if (!isRecord(value)) return bad(`is described by ${shown(value)}, expected an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string") return bad(`has dtype ${shown(dtype)}, expected a string`);
  if (!Object.hasOwn(ELEMENT_BYTES, dtype)) {
    return fail("DIT4013", `${where} has dtype ${shown(dtype)}, which is not supported`, {
      notes: [`supported: ${Object.keys(ELEMENT_BYTES).join(", ")}`],
      help: "convert the file to one of these types",
    });
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) return bad(`has shape ${shown(shape)}, expected whole numbers from 0`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    return bad(`has data_offsets ${shown(offsets)}, expected two whole numbers`);
  }
  const [begin, end] = offsets as [number, number];
  const room = fileBytes - start;
  if (begin > end || end > room) {
    return fail("DIT4014", `${where} lies at bytes ${begin}..${end} of the data, which has ${room} bytes`, { help: HELP });
  }
  const needed = (shape as number[]).reduce((product, size) => product * size, ELEMENT_BYTES[dtype as SafetensorsDtype]);
  if (needed !== end - begin) {
    return fail("DIT4014", `${where} of ${dtype} [${shape.join(", ")}] needs ${needed} bytes, its offsets span ${end - begin}`, {
      help: HELP,
    });
  }
  return { dtype: dtype as SafetensorsDtype, shape: shape as number[], begin: start + begin, end: start + end };
}

/** The tensors must tile the data: no byte belongs to two of them or to none (so nothing hides in a file, and cuts show). */
function checkCover(entries: ReadonlyMap<string, TensorEntry>, label: string, start: number, fileBytes: number): void {
  let reached = start;
  let before = "";
  for (const [name, entry] of [...entries].sort((a, b) => a[1].begin - b[1].begin || a[1].end - b[1].end)) {
    if (entry.begin !== reached) {
      const what = entry.begin < reached ? `overlaps ${shown(before)}` : `leaves ${entry.begin - reached} unused bytes before it`;
      fail("DIT4014", `${label}: tensor ${shown(name)} ${what}`, { help: HELP });
    }
    reached = entry.end;
    before = name;
  }
  if (reached !== fileBytes) {
    fail("DIT4014", `${label}: the tensors end at byte ${reached}, the file at byte ${fileBytes}`, { help: HELP });
  }
}

export const bytesPerElement = (dtype: SafetensorsDtype): number => ELEMENT_BYTES[dtype];

/** Elements of a tensor from its own bytes: a view where the alignment allows it, a copy otherwise. */
export function elements(dtype: SafetensorsDtype, bytes: Uint8Array): TensorData {
  const size = ELEMENT_BYTES[dtype];
  const { buffer, byteOffset } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const count = bytes.length / size;
  switch (dtype) {
    case "F64":
      return new Float64Array(buffer, byteOffset, count);
    case "F32":
      return new Float32Array(buffer, byteOffset, count);
    case "F16":
    case "BF16":
      return new Uint16Array(buffer, byteOffset, count);
    case "I64":
      return new BigInt64Array(buffer, byteOffset, count);
    case "I32":
      return new Int32Array(buffer, byteOffset, count);
    case "U32":
      return new Uint32Array(buffer, byteOffset, count);
    case "U8":
    case "BOOL":
      return new Uint8Array(buffer, byteOffset, count);
  }
}

/** All tensors of a file, in the order of its header. `label` names the file in errors (those of readHeader). */
export function parseSafetensors(
  bytes: Uint8Array,
  label: string,
): { tensors: Map<string, StoredTensor>; metadata: ReadonlyMap<string, string> } {
  const { entries, metadata } = readHeader(bytes, label);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, { dtype, shape, begin, end }] of entries) {
    tensors.set(name, { dtype, shape, data: elements(dtype, bytes.subarray(begin, end)) });
  }
  return { tensors, metadata };
}

/** What a header says of a tensor before there is data. */
export type TensorInfo = Pick<StoredTensor, "dtype" | "shape">;

export interface FilePlan {
  /** The first bytes of the file: length and JSON, padded so that the data starts at a multiple of 8. */
  readonly header: Uint8Array<ArrayBuffer>;
  /** Where each tensor lies, in the order of the data. */
  readonly entries: ReadonlyMap<string, TensorEntry>;
  /** Bytes of the whole file. */
  readonly size: number;
}

/**
 * How a file of these tensors looks. Same tensors, same bytes: the header keeps the order given (a state dict's, say), metadata is
 * sorted by key, and data goes by falling element size, so that a reader can view every tensor in place.
 */
export function planFile(
  tensors: ReadonlyMap<string, TensorInfo>,
  metadata: Readonly<Record<string, string>> | ReadonlyMap<string, string> = {},
): FilePlan {
  const places = new Map<string, { begin: number; end: number }>();
  let size = 0;
  for (const [name, { dtype, shape }] of [...tensors].sort((a, b) => bytesPerElement(b[1].dtype) - bytesPerElement(a[1].dtype))) {
    const begin = size;
    size += shape.reduce((product, n) => product * n, bytesPerElement(dtype));
    places.set(name, { begin, end: size });
  }
  // fromEntries defines own properties, so that a tensor named "__proto__" survives the round trip.
  const pairs: [string, unknown][] = [];
  const notes = metadata instanceof Map ? [...metadata] : Object.entries(metadata);
  if (notes.length > 0) pairs.push(["__metadata__", Object.fromEntries(notes.sort((a, b) => (a[0] < b[0] ? -1 : 1)))]);
  for (const [name, { dtype, shape }] of tensors) {
    const { begin, end } = places.get(name)!;
    pairs.push([name, { dtype, shape, data_offsets: [begin, end] }]);
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(pairs)));
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length);
  new DataView(header.buffer).setUint32(0, length, true);
  header.fill(0x20, 8); // blanks pad the header
  header.set(json, 8);
  const entries = [...places].map(([name, { begin, end }]): [string, TensorEntry] => {
    const { dtype, shape } = tensors.get(name)!;
    return [name, { dtype, shape, begin: header.length + begin, end: header.length + end }];
  });
  return { header, entries: new Map(entries), size: header.length + size };
}

/**
 * The file's bytes, laid out by `planFile`.
 * Error: DIT4015 when a tensor's data does not have the type or the number of elements that its dtype and shape say.
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> | ReadonlyMap<string, string> = {},
): Uint8Array {
  for (const [name, tensor] of tensors) checkWritable(name, tensor);
  const { header, entries, size } = planFile(tensors, metadata);
  const file = new Uint8Array(size);
  file.set(header);
  for (const [name, { begin }] of entries) {
    const { data } = tensors.get(name)!;
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), begin);
  }
  return file;
}

/** Error: DIT4015. */
export function checkWritable(name: string, { dtype, shape, data }: StoredTensor): void {
  const count = shape.reduce((product, size) => product * size, 1);
  const right = elements(dtype, new Uint8Array(0)).constructor === data.constructor;
  if (name !== "__metadata__" && right && shape.every(isCount) && count === data.length) return;
  fail("DIT4015", `cannot write tensor ${shown(name)}: ${dtype} [${shape.join(", ")}] does not describe its data`, {
    notes: [`expected ${count} elements, found ${data.length} in a ${data.constructor.name}`],
    help: "give an array of the dtype's own type with as many elements as the shape has",
  });
}
