/**
 * Safetensors files that are too large to hold, and that must be whole: tensors go to disk and come back one at a time, and the header's
 * metadata carries a SHA-256 of the file (taken with its own 64 digits as zeros), so that any damage shows, in a number as in the header.
 */
import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { fail } from "../diagnostics/diagnostic.js";
import { withSource, writeAtomic } from "./files.js";
import {
  checkWritable,
  elements,
  planFile,
  type SafetensorsHeader,
  type TensorData,
  type TensorEntry,
  type TensorInfo,
} from "./safetensors.js";
import { readSourceHeader } from "./tensor-view.js";

/** Metadata key of the digest. */
const DIGEST = "sha256";
const BLANK = "0".repeat(64);

/**
 * Writes a file as one event (see writeAtomic), asking `read` for each tensor when it is its turn.
 * Errors: DIT4002 (the system refuses), DIT4015 (data does not fit its dtype and shape).
 */
export async function writeSafetensorsFile(
  path: string,
  tensors: ReadonlyMap<string, TensorInfo>,
  metadata: Readonly<Record<string, string>>,
  read: (name: string) => Promise<TensorData>,
): Promise<void> {
  const { header, entries } = planFile(tensors, { ...metadata, [DIGEST]: BLANK });
  await writeAtomic(path, async (file) => {
    const hash = createHash("sha256").update(header);
    await writeAll(file, header);
    for (const [name, { dtype, shape }] of entries) {
      const data = await read(name);
      checkWritable(name, { dtype, shape, data });
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      hash.update(bytes);
      await writeAll(file, bytes);
    }
    const at = digestPlace(header);
    await file.write(new TextEncoder().encode(hash.digest("hex")), 0, BLANK.length, at);
  });
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    // One write is limited by the system to somewhat less than 2 GiB.
    done += (await file.write(bytes, done, Math.min(bytes.length - done, 2 ** 30))).bytesWritten;
  }
}

/** Where the digest's digits stand. A tensor's name or another note cannot look like it: its quotes would be escaped. */
function digestPlace(header: Uint8Array): number {
  const key = Buffer.from(`"${DIGEST}":"`);
  const found = Buffer.from(header.buffer, header.byteOffset, header.length).indexOf(key);
  return found < 0 ? -1 : found + key.length;
}

/** The header of a file on disk. Errors: DIT4001, and those of readHeader. */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withSource(path, async (source) => (await readSourceHeader(source)).header);
}

/**
 * Gives every tensor to `visit`, one after the other in the order of the data, and then compares the digest, where the file has one.
 * Errors: DIT4001, those of readHeader, DIT4016 (the bytes are not those that were written).
 */
export async function visitSafetensorsFile(
  path: string,
  visit: (name: string, entry: TensorEntry, data: TensorData) => Promise<void>,
): Promise<SafetensorsHeader> {
  return withSource(path, async (source) => {
    const { bytes, header } = await readSourceHeader(source);
    const hash = begun(bytes, header);
    for (const [name, entry] of [...header.entries].sort((a, b) => a[1].begin - b[1].begin)) {
      const data = await source.read(entry.begin, entry.end);
      hash?.update(data);
      await visit(name, entry, elements(entry.dtype, data));
    }
    if (hash && hash.digest("hex") !== header.metadata.get(DIGEST)) {
      fail("DIT4016", `${path} is damaged: its bytes are not those that were written`, {
        notes: ["the SHA-256 in its header belongs to other bytes"],
        help: "copy it again from where it is whole, or use another file",
      });
    }
    return header;
  });
}

/** The hash over the header as it was written, without its digest. */
function begun(bytes: Uint8Array, { metadata }: SafetensorsHeader): Hash | undefined {
  if (metadata.get(DIGEST)?.length !== BLANK.length) return undefined;
  const at = digestPlace(bytes);
  const blank = bytes.slice();
  if (at >= 0) blank.set(new TextEncoder().encode(BLANK), at);
  return createHash("sha256").update(blank);
}
