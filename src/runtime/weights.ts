/**
 * Streams a safetensors file into a session: bytes go to the GPU as they arrive, so a file of any size needs a few MiB of memory.
 * Only what weights need is understood: F32, and F16 and BF16, which are widened. The header is a stranger's and is checked.
 */
import { halfToNumber } from "../program/half.js";
import { shown } from "../program/shown.js";
import { binarySize, DitRuntimeError } from "./errors.js";
import type { Session } from "./session.js";

export interface WeightsOptions {
  /** For errors; a web address, say. */
  readonly label?: string | undefined;
  /** Session name of a tensor in the file, or undefined to skip it. Default: the tensor's own name, where the session has it. */
  readonly rename?: ((name: string) => string | undefined) | undefined;
  readonly onBytes?: ((done: number) => void) | undefined;
}

export interface HeaderEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes begin..end-1 of the data that follows the header. */
  readonly begin: number;
  readonly end: number;
}

const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  F64: 8,
  I64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  U8: 1,
  BOOL: 1,
};
const HEADER_LIMIT = 100_000_000;
const DAMAGED = "the file is damaged or is not a safetensors file: download or write it again";

/** The entries of a safetensors header (its JSON alone), by rising place. */
export function parseSafetensorsLite(json: Uint8Array, label: string): HeaderEntry[] {
  const bad = (what: string): never => {
    throw new DitRuntimeError("DIT6009", `${label}: ${what}`, DAMAGED);
  };
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch {
    return bad("the header is not JSON");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) return bad("the header is not a JSON object");
  const entries: HeaderEntry[] = [];
  for (const [name, value] of Object.entries(header as Record<string, unknown>)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
    const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0;
    if (typeof dtype !== "string" || !Object.hasOwn(ELEMENT_BYTES, dtype))
      return bad(`tensor ${shown(name)} has an unknown dtype`);
    if (!Array.isArray(shape) || !shape.every(isCount)) return bad(`tensor ${shown(name)} has no shape`);
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
      return bad(`tensor ${shown(name)} has no place`);
    const [begin, end] = offsets as [number, number];
    const bytes = (shape as number[]).reduce((product, size) => product * size, ELEMENT_BYTES[dtype]!);
    if (end - begin !== bytes) return bad(`tensor ${shown(name)} needs ${bytes} bytes and has ${end - begin}`);
    entries.push({ name, dtype, shape: shape as number[], begin, end });
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let reached = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== reached) return bad(`tensor ${shown(name)} begins at byte ${begin}, expected ${reached}`);
    reached = end;
  }
  return entries;
}

/** Writes every tensor of the stream that the session has; returns the session's names that were written. */
export async function streamWeights(
  session: Session,
  stream: AsyncIterable<Uint8Array>,
  options: WeightsOptions = {},
): Promise<string[]> {
  const label = options.label ?? "weights";
  const reader = new ByteReader(stream, label, options.onBytes);
  const length = new DataView((await reader.take(8)).buffer);
  const headerBytes = length.getUint32(4, true) * 2 ** 32 + length.getUint32(0, true);
  if (headerBytes > HEADER_LIMIT) {
    throw new DitRuntimeError("DIT6009", `${label}: the header claims ${binarySize(headerBytes)}`, DAMAGED);
  }
  const entries = parseSafetensorsLite(await reader.take(headerBytes), label);
  const known = new Set(session.names);
  const written: string[] = [];
  for (const entry of entries) {
    const name = options.rename ? options.rename(entry.name) : entry.name;
    if (name === undefined || !known.has(name)) {
      await reader.pieces(entry.end - entry.begin, async () => {});
      continue;
    }
    const widen = converter(entry, label);
    let offset = 0;
    await reader.pieces(entry.end - entry.begin, async (piece) => {
      const bytes = widen(piece);
      await session.writeBytes(name, offset, bytes);
      offset += bytes.length;
    });
    if (offset !== session.bytesOf(name)) {
      const message = `${label}: tensor ${shown(entry.name)} [${entry.shape.join(", ")}] has ${offset} bytes as f32`;
      throw new DitRuntimeError("DIT6004", `${message}, the program's has ${session.bytesOf(name)}`);
    }
    written.push(name);
  }
  await reader.end();
  return written;
}

/** Turns a piece (whole elements, and a multiple of 8 bytes but for the last) into f32 bytes. */
function converter({ name, dtype }: HeaderEntry, label: string): (piece: Uint8Array) => Uint8Array {
  if (dtype === "F32") return (piece) => piece;
  if (dtype !== "F16" && dtype !== "BF16") {
    throw new DitRuntimeError("DIT6004", `${label}: tensor ${shown(name)} is ${dtype}, weights are F32, F16 or BF16`);
  }
  return (piece) => {
    const halves = new DataView(piece.buffer, piece.byteOffset, piece.length);
    const wide = new Float32Array(piece.length / 2);
    const bits = new Uint32Array(wide.buffer);
    for (let i = 0; i < wide.length; i++) {
      const half = halves.getUint16(2 * i, true);
      if (dtype === "BF16") bits[i] = half << 16;
      else wide[i] = halfToNumber(half);
    }
    return new Uint8Array(wide.buffer);
  };
}

/** Takes exact numbers of bytes out of chunks of any size. */
class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #label: string;
  readonly #onBytes: ((done: number) => void) | undefined;
  #chunk = new Uint8Array(0);
  #done = 0;

  constructor(stream: AsyncIterable<Uint8Array>, label: string, onBytes: ((done: number) => void) | undefined) {
    this.#chunks = stream[Symbol.asyncIterator]();
    this.#label = label;
    this.#onBytes = onBytes;
  }

  /** Exactly `count` bytes in an array of their own. */
  async take(count: number): Promise<Uint8Array<ArrayBuffer>> {
    const parts: Uint8Array[] = [];
    let missing = count;
    while (missing > 0) {
      const part = await this.#some(missing);
      parts.push(part);
      missing -= part.length;
    }
    const all = new Uint8Array(count);
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /** `count` bytes as they come, in pieces whose lengths are multiples of 8 except at the end: two numbers, which are a word as halves. */
  async pieces(count: number, use: (piece: Uint8Array) => Promise<void>): Promise<void> {
    let left = count;
    while (left > 0) {
      const ready = this.#chunk.length >= 8 ? Math.min(left, this.#chunk.length) : 0;
      const whole = ready === left ? ready : ready - (ready % 8);
      // Less than that at hand: the few bytes that are missing are put together by copying.
      const piece = whole > 0 ? await this.#some(whole) : await this.take(Math.min(left, 8));
      await use(piece);
      left -= piece.length;
    }
  }

  /** Nothing may follow. */
  async end(): Promise<void> {
    while (this.#chunk.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) return;
      this.#chunk = next.value as Uint8Array<ArrayBuffer>;
    }
    throw new DitRuntimeError(
      "DIT6009",
      `${this.#label}: the file goes on after its last tensor, at byte ${this.#done}`,
      DAMAGED,
    );
  }

  async #some(most: number): Promise<Uint8Array> {
    while (this.#chunk.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) throw new DitRuntimeError("DIT6009", `${this.#label}: the file ends after ${this.#done} bytes`, DAMAGED);
      this.#chunk = next.value as Uint8Array<ArrayBuffer>;
    }
    const part = this.#chunk.subarray(0, most);
    this.#chunk = this.#chunk.subarray(part.length);
    this.#done += part.length;
    this.#onBytes?.(this.#done);
    return part;
  }
}
