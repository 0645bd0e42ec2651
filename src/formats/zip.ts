/**
 * Zip archives read by ranges: the directory at the end, then any entry by itself. PyTorch's files are such archives with *stored*
 * entries, so a tensor of a file of gigabytes is one range of it. Own code because the good library for ranges (zip.js) hands an entry out
 * as a stream, and neither its place nor a part of it, which tensors that share a storage need; and what is needed, stored entries and
 * zip64, is little. Compressed or encrypted entries are refused.
 *
 * Believe nothing: sizes and places are held against the file before a byte is touched, and the CRC-32 of the directory against the data.
 * Source: PKWARE's APPNOTE 6.3.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { shown } from "../program/shown.js";
import { crc32 } from "./crc32.js";
import type { Source } from "./source.js";

export interface ZipEntry {
  readonly name: string;
  readonly size: number;
  /** Bytes begin .. end-1 of the entry, all of it by default. Errors: DIT4001, DIT4071. */
  read(begin?: number, end?: number): Promise<Uint8Array<ArrayBuffer>>;
}

const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const RECORD = 0x02014b50;
const LOCAL = 0x04034b50;
/** A comment may follow the directory's end. */
const TAIL = 22 + 0xffff;
/** A training checkpoint of the largest model has 1500 entries of 100 bytes. */
const MOST_DIRECTORY = 2 ** 24;
/** Bytes of an entry that are checked at a time, where it is not read as a whole. */
const PIECE = 2 ** 22;

const HELP = "the file is cut short or damaged: download or copy it again";

/** Reads the directory. Errors: DIT4001, DIT4071 (damaged, or packed in a way that is not read). */
export async function readZip(source: Source): Promise<Map<string, ZipEntry>> {
  const { begin, size, count } = await findDirectory(source);
  if (size > MOST_DIRECTORY) bad(source, `its directory claims ${size} bytes, at most ${MOST_DIRECTORY} are read`);
  const bytes = await source.read(begin, begin + size);
  const view = viewOf(bytes);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > size || view.getUint32(at, true) !== RECORD) bad(source, `entry ${i} of its directory is damaged`);
    const lengths = [28, 30, 32].map((offset) => view.getUint16(at + offset, true)) as [number, number, number];
    const end = at + 46 + lengths[0] + lengths[1] + lengths[2];
    if (end > size) bad(source, `entry ${i} of its directory goes on beyond the directory's end`);
    const entry = readRecord(source, bytes, at, lengths);
    if (entries.has(entry.name)) bad(source, `it has two entries ${shown(entry.name)}`);
    entries.set(entry.name, entry);
    at = end;
  }
  if (at !== size) bad(source, `its directory has ${size - at} bytes more than its ${count} entries`);
  return entries;
}

const bad = (source: Source, what: string): never => fail("DIT4071", `${source.label}: ${what}`, { help: HELP });
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** Where the directory lies; in files of 4 GiB and more that stands in a record of its own. */
async function findDirectory(source: Source): Promise<{ begin: number; size: number; count: number }> {
  const start = Math.max(0, source.size - TAIL);
  const tail = await source.read(start, source.size);
  const view = viewOf(tail);
  let end = tail.length - 22;
  while (end >= 0 && !(view.getUint32(end, true) === END && view.getUint16(end + 20, true) === tail.length - end - 22)) end--;
  if (end < 0) return bad(source, "it begins like a zip archive and has no directory at its end");
  let found = {
    count: view.getUint16(end + 10, true),
    size: view.getUint32(end + 12, true),
    begin: view.getUint32(end + 16, true),
  };
  let limit = start + end;
  const locator = end - 20;
  if (locator >= 0 && view.getUint32(locator, true) === LOCATOR_64) {
    const place = whole(source, view, locator + 8);
    if (place + 56 > start + locator) bad(source, `the record of its directory's place claims to lie at byte ${place}`);
    const record = viewOf(await source.read(place, place + 56));
    if (record.getUint32(0, true) !== END_64) bad(source, "the record of its directory's place is damaged");
    found = { count: whole(source, record, 32), size: whole(source, record, 40), begin: whole(source, record, 48) };
    limit = place;
  }
  const { begin, size, count } = found;
  if (begin + size > limit) bad(source, `its directory claims bytes ${begin}..${begin + size}, expected it to end at ${limit}`);
  if (count * 46 > size) bad(source, `its directory of ${size} bytes claims ${count} entries`);
  return found;
}

/** 8 bytes as a number, which must be one that a file can have. */
function whole(source: Source, view: DataView, at: number): number {
  const n = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
  return Number.isSafeInteger(n) ? n : bad(source, `its directory has the number ${n}`);
}

function readRecord(source: Source, bytes: Uint8Array, at: number, [nameLength, extraLength]: readonly number[]): ZipEntry {
  const view = viewOf(bytes);
  let name: string;
  try {
    name = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(at + 46, at + 46 + nameLength!));
  } catch {
    return bad(source, "the name of an entry is not UTF-8");
  }
  const [flags, method, crc] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true), view.getUint32(at + 16, true)];
  if (flags & 1) bad(source, `entry ${shown(name)} is encrypted`);
  if (method !== 0) {
    fail("DIT4071", `${source.label}: entry ${shown(name)} is compressed (method ${method}), expected it stored`, {
      help: "PyTorch stores what it saves: save it again with torch.save, or pack it again with `zip -0`",
    });
  }
  let [packed, size, place] = [20, 24, 42].map((offset) => view.getUint32(at + offset, true)) as [number, number, number];
  const extraBegin = at + 46 + nameLength!;
  for (let extra = extraBegin; extra + 4 <= extraBegin + extraLength!; ) {
    const [id, length] = [view.getUint16(extra, true), view.getUint16(extra + 2, true)];
    const end = Math.min(extra + 4 + length, extraBegin + extraLength!);
    if (id === 1) {
      // What does not fit into 32 bits, in this order.
      let next = extra + 4;
      const wide = (n: number): number => {
        if (n !== 0xffffffff || next + 8 > end) return n;
        next += 8;
        return whole(source, view, next - 8);
      };
      size = wide(size);
      packed = wide(packed);
      place = wide(place);
    }
    extra += 4 + length;
  }
  if (packed !== size) bad(source, `entry ${shown(name)} is stored in ${packed} bytes and has ${size}`);
  if (place + 30 + size > source.size) {
    bad(source, `entry ${shown(name)} claims ${size} bytes at byte ${place}, the file has ${source.size}`);
  }
  return entryAt(source, name, size, crc, place);
}

/** An entry whose own header, at `place`, is read when it is asked for. */
function entryAt(source: Source, name: string, size: number, crc: number, place: number): ZipEntry {
  const inFull = new TextEncoder().encode(name);
  let located: Promise<number> | undefined;
  let checked: Promise<void> | undefined;
  const locate = async (): Promise<number> => {
    const bytes = await source.read(place, Math.min(source.size, place + 30 + inFull.length));
    const view = viewOf(bytes);
    if (
      bytes.length < 30 + inFull.length ||
      view.getUint32(0, true) !== LOCAL ||
      view.getUint16(26, true) !== inFull.length ||
      !inFull.every((byte, i) => bytes[30 + i] === byte)
    ) {
      bad(source, `entry ${shown(name)} does not begin at byte ${place}`);
    }
    const begin = place + 30 + inFull.length + view.getUint16(28, true);
    if (begin + size > source.size) bad(source, `entry ${shown(name)} ends at byte ${begin + size}, the file at ${source.size}`);
    return begin;
  };
  const compare = (found: number): void => {
    if (found === crc) return;
    fail("DIT4071", `${source.label}: entry ${shown(name)} is damaged: its bytes are not those that were written`, {
      notes: ["the CRC-32 in the directory belongs to other bytes"],
      help: HELP,
    });
  };
  const check = async (start: number): Promise<void> => {
    let sum = 0;
    for (let at = 0; at < size; at += PIECE) {
      sum = crc32(await source.read(start + at, start + Math.min(size, at + PIECE)), sum);
    }
    compare(sum);
  };
  return {
    name,
    size,
    async read(begin = 0, end = size) {
      located ??= locate();
      const start = await located;
      if (begin === 0 && end === size) {
        const bytes = await source.read(start, start + size);
        compare(crc32(bytes));
        return bytes;
      }
      // A part: the whole is gone through once, a piece at a time.
      checked ??= check(start);
      await checked;
      return source.read(start + begin, start + end);
    },
  };
}
