/**
 * Writer of files as torch.save writes them, for tests: a pickle of protocol 2 and the storages, stored in a zip archive. In pieces, so
 * that files of gigabytes can be made; and open to damage, for the fuzz test.
 */
import { crc32 } from "../src/formats/crc32.js";
import type { SafetensorsDtype, TensorData } from "../src/formats/safetensors.js";

const STORAGES: Partial<Record<SafetensorsDtype, string>> = {
  F64: "DoubleStorage",
  F32: "FloatStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
  I64: "LongStorage",
};

/** Numbers in a storage: made when they are written. */
export interface StorageSpec {
  readonly dtype: SafetensorsDtype;
  readonly count: number;
  readonly data: () => TensorData;
}
/** A window of a storage; by default all of it, row-major. */
export class Tensor {
  readonly storage: StorageSpec;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly stride: readonly number[];

  constructor(storage: StorageSpec, shape: readonly number[], offset = 0, stride: readonly number[] = rowMajor(shape)) {
    this.storage = storage;
    this.shape = shape;
    this.offset = offset;
    this.stride = stride;
  }
}
const rowMajor = (shape: readonly number[]): number[] => shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));

export class Tuple {
  readonly items: readonly unknown[];
  constructor(...items: readonly unknown[]) {
    this.items = items;
  }
}
/** argparse.Namespace with these fields. */
export class Options {
  readonly fields: Readonly<Record<string, unknown>>;
  constructor(fields: Readonly<Record<string, unknown>>) {
    this.fields = fields;
  }
}
/** The dict that state_dict() gives. */
export const stateDict = (tensors: Readonly<Record<string, Tensor>>): Map<string, Tensor> => new Map(Object.entries(tensors));
export const storage = (dtype: SafetensorsDtype, data: TensorData): StorageSpec => ({
  dtype,
  count: data.length,
  data: () => data,
});

/** The pickle of a value: Map is an OrderedDict, a plain object a dict, an array a list; numbers are ints where they are whole. */
export function pickle(root: unknown): { bytes: Uint8Array<ArrayBuffer>; storages: readonly StorageSpec[] } {
  const out: number[] = [0x80, 2];
  const storages: StorageSpec[] = [];
  const memo = new Map<string, number>();
  const u32 = (n: number) => [n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >> 24) & 255];
  /** What is written once and then read from the memo. */
  const once = (key: string, write: () => void): void => {
    const slot = memo.get(key);
    if (slot !== undefined) out.push(...(slot < 256 ? [0x68, slot] : [0x6a, ...u32(slot)]));
    else {
      write();
      const next = memo.size;
      memo.set(key, next);
      out.push(...(next < 256 ? [0x71, next] : [0x72, ...u32(next)]));
    }
  };
  const global = (module: string, name: string): void =>
    once(`g ${module} ${name}`, () => void out.push(0x63, ...new TextEncoder().encode(`${module}\n${name}\n`)));
  const tuple = (items: readonly unknown[]): void => {
    if (items.length === 0) return void out.push(0x29);
    if (items.length > 3) out.push(0x28);
    items.forEach(value);
    out.push(items.length > 3 ? 0x74 : 0x84 + items.length);
  };
  const items = (pairs: Iterable<readonly [unknown, unknown]>): void => {
    out.push(0x28);
    for (const [key, of] of pairs) {
      value(key);
      value(of);
    }
    out.push(0x75);
  };
  const ordered = (pairs: Iterable<readonly [unknown, unknown]>): void => {
    global("collections", "OrderedDict");
    out.push(0x29, 0x52);
    items(pairs);
  };
  const tensor = ({ storage: of, shape, offset, stride }: Tensor): void => {
    let key = storages.indexOf(of);
    if (key < 0) key = storages.push(of) - 1;
    global("torch._utils", "_rebuild_tensor_v2");
    out.push(0x28, 0x28);
    value("storage");
    global("torch", STORAGES[of.dtype]!);
    value(String(key));
    value("cuda:0");
    value(of.count);
    out.push(0x74, 0x51);
    value(offset);
    tuple(shape);
    tuple(stride);
    value(false);
    global("collections", "OrderedDict");
    out.push(0x29, 0x52, 0x74, 0x52);
  };
  const value = (v: unknown): void => {
    if (v === null) out.push(0x4e);
    else if (typeof v === "boolean") out.push(v ? 0x88 : 0x89);
    else if (typeof v === "string") {
      once(`s ${v}`, () => {
        const bytes = new TextEncoder().encode(v);
        out.push(0x58, ...u32(bytes.length), ...bytes);
      });
    } else if (typeof v === "number" && Number.isInteger(v)) {
      if (v >= 0 && v < 256) out.push(0x4b, v);
      else if (v >= 0 && v < 65536) out.push(0x4d, v & 255, v >> 8);
      else if (Math.abs(v) < 2 ** 31) out.push(0x4a, ...u32(v));
      else out.push(0x8a, 8, ...new Uint8Array(BigInt64Array.of(BigInt(v)).buffer));
    } else if (typeof v === "number") out.push(0x47, ...new Uint8Array(Float64Array.of(v).buffer).reverse());
    else if (v instanceof Tuple) tuple(v.items);
    else if (v instanceof Tensor) tensor(v);
    else if (v instanceof Options) {
      global("argparse", "Namespace");
      out.push(0x29, 0x81);
      value(v.fields);
      out.push(0x62);
    } else if (v instanceof Map) {
      ordered(v);
      // A state dict's attributes.
      value({ _metadata: new Tuple() });
      out.push(0x62);
    } else if (Array.isArray(v)) {
      out.push(0x5d, 0x28);
      v.forEach(value);
      out.push(0x65);
    } else {
      out.push(0x7d);
      items(Object.entries(v as object).map(([key, of]) => [/^\d+$/.test(key) ? Number(key) : key, of]));
    }
  };
  value(root);
  out.push(0x2e);
  return { bytes: Uint8Array.from(out), storages };
}

export interface ZipOptions {
  /** Sizes and places in the 64-bit records, as files of 4 GiB and more have them. */
  readonly zip64?: boolean;
  /** Of the directory, in place of the right one. */
  readonly crc?: number;
}

/** An archive of these entries, in pieces. */
export function* zip(
  entries: Iterable<readonly [name: string, data: () => Uint8Array]>,
  { zip64 = false, crc }: ZipOptions = {},
): Generator<Uint8Array> {
  const records: Uint8Array[] = [];
  let at = 0;
  for (const [name, data] of entries) {
    const bytes = data();
    const inFull = new TextEncoder().encode(name);
    // Data begins at a multiple of 64, as in PyTorch's files.
    const pad = (64 - ((at + 30 + inFull.length + 4) % 64)) % 64;
    const sum = crc ?? crc32(bytes);
    const wide = (n: number) => (zip64 ? 0xffffffff : n);
    const local = new Uint8Array(30 + inFull.length + 4 + pad);
    fields(local, 0, [4, 0x04034b50], [2, 0], [2, 0], [2, 0], [2, 0], [2, 0], [4, sum], [4, bytes.length], [4, bytes.length]);
    fields(local, 26, [2, inFull.length], [2, 4 + pad]);
    local.set(inFull, 30);
    fields(local, 30 + inFull.length, [2, 0x4246], [2, pad]);
    yield local;
    yield bytes;
    const record = new Uint8Array(46 + inFull.length + (zip64 ? 28 : 0));
    fields(record, 0, [4, 0x02014b50], [2, 0], [2, 0], [2, 0], [2, 0], [2, 0], [2, 0], [4, sum], [4, wide(bytes.length)]);
    fields(
      record,
      24,
      [4, wide(bytes.length)],
      [2, inFull.length],
      [2, zip64 ? 28 : 0],
      [2, 0],
      [2, 0],
      [2, 0],
      [4, 0],
      [4, wide(at)],
    );
    record.set(inFull, 46);
    if (zip64) fields(record, 46 + inFull.length, [2, 1], [2, 24], [8, bytes.length], [8, bytes.length], [8, at]);
    records.push(record);
    at += local.length + bytes.length;
  }
  const size = records.reduce((n, { length }) => n + length, 0);
  yield* records;
  if (zip64) {
    const end = new Uint8Array(56 + 20);
    const count = records.length;
    fields(end, 0, [4, 0x06064b50], [8, 44], [2, 0], [2, 0], [4, 0], [4, 0], [8, count], [8, count], [8, size], [8, at]);
    fields(end, 56, [4, 0x07064b50], [4, 0], [8, at + size], [4, 1]);
    yield end;
  }
  const end = new Uint8Array(22);
  const [n, s, b] = zip64 ? [0xffff, 0xffffffff, 0xffffffff] : [records.length, size, at];
  fields(end, 0, [4, 0x06054b50], [2, 0], [2, 0], [2, n], [2, n], [4, s], [4, b], [2, 0]);
  yield end;
}

/** Little-endian numbers of 2, 4 or 8 bytes, one after another. */
function fields(bytes: Uint8Array, at: number, ...list: readonly (readonly [width: number, value: number])[]): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let place = at;
  for (const [width, n] of list) {
    if (width === 2) view.setUint16(place, n, true);
    else if (width === 4) view.setUint32(place, n, true);
    else view.setBigUint64(place, BigInt(n), true);
    place += width;
  }
}

/** The entries of a file of torch.save. */
export function entriesOf(bytes: Uint8Array, storages: readonly StorageSpec[], top = "archive"): [string, () => Uint8Array][] {
  const raw = ({ buffer, byteOffset, byteLength }: TensorData) => new Uint8Array(buffer, byteOffset, byteLength);
  return [
    [`${top}/data.pkl`, () => bytes],
    [`${top}/byteorder`, () => new TextEncoder().encode("little")],
    ...storages.map((of, key): [string, () => Uint8Array] => [`${top}/data/${key}`, () => raw(of.data())]),
    [`${top}/version`, () => new TextEncoder().encode("3\n")],
  ];
}

/** A file of torch.save, in pieces. */
export function* torchFile(root: unknown, options: ZipOptions = {}): Generator<Uint8Array> {
  const { bytes, storages } = pickle(root);
  yield* zip(entriesOf(bytes, storages), options);
}

export function joined(pieces: Iterable<Uint8Array>): Uint8Array<ArrayBuffer> {
  const all = [...pieces];
  const whole = new Uint8Array(all.reduce((n, { length }) => n + length, 0));
  let at = 0;
  for (const piece of all) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
