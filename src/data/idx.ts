/**
 * The idx files of MNIST and its relatives: two zero bytes, element type, rank, big-endian sizes, then bytes. Plain or gzipped.
 * Format: "The MNIST database", LeCun, Cortes, Burges. Only unsigned bytes occur in image sets, so only they are read.
 */
import { gunzipSync } from "node:zlib";
import { fail } from "../diagnostics/diagnostic.js";
import { readFileBytes } from "../formats/files.js";

export interface IdxArray {
  /** Sizes, slowest first: [images, rows, columns] or [labels]. */
  readonly shape: readonly number[];
  /** Row-major bytes. */
  readonly data: Uint8Array;
}

/** What a gzipped file may become: ten times the largest set of this family, so that a bomb stops early. */
const MAX_BYTES = 2 ** 30;
const HELP = "get the file again; it should be an idx file as MNIST's, gzipped or not";

/**
 * Reads an idx file's bytes; `rank` is 3 for images and 1 for labels. `label` names the file in errors.
 * Errors: DIT4020 (gzip is damaged), DIT4021 (not this kind of idx file), DIT4022 (sizes and bytes differ).
 */
export function parseIdx(bytes: Uint8Array, rank: 1 | 3, label: string): IdxArray {
  const file = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzip(bytes, label) : bytes;
  const what = rank === 3 ? "images (idx3)" : "labels (idx1)";
  const header = 4 + 4 * rank;
  const start = [...file.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  if (file[0] !== 0 || file[1] !== 0 || file[2] !== 8 || file[3] !== rank) {
    const other = start === "00 00 08 03" || start === "00 00 08 01";
    fail("DIT4021", `${label}: not an idx file of ${what}`, {
      notes: [`expected it to begin with 00 00 08 0${rank}, found ${start || "nothing"}`],
      help: other ? `this file holds ${rank === 3 ? "labels" : "images"}: are the two names swapped?` : HELP,
    });
  }
  if (file.length < header)
    fail("DIT4022", `${label}: the header needs ${header} bytes, the file has ${file.length}`, { help: HELP });
  const view = new DataView(file.buffer, file.byteOffset, header);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, n) => product * n, 1);
  if (size !== file.length - header) {
    fail("DIT4022", `${label}: ${what} of ${shape.join(" x ")} need ${size} bytes, the file has ${file.length - header}`, {
      help: HELP,
    });
  }
  return { shape, data: file.subarray(header) };
}

function gunzip(bytes: Uint8Array, label: string): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_BYTES });
  } catch (error) {
    return fail("DIT4020", `${label}: the gzip data is damaged or longer than ${MAX_BYTES} bytes`, {
      notes: [error instanceof Error ? error.message : String(error)],
      help: HELP,
    });
  }
}

/** Reads an idx file from disk. Errors: DIT4001 and those of parseIdx. */
export const readIdx = async (path: string, rank: 1 | 3): Promise<IdxArray> => parseIdx(await readFileBytes(path), rank, path);
