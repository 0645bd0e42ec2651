/**
 * Bytes that are read by ranges, wherever they lie: in memory, in a File of a page, behind an address, or (see files.ts) on disk. What
 * reads a checkpoint takes one of these, so it is the same code everywhere, and a file of any size takes the memory of what is asked for.
 */
import { fail } from "../diagnostics/diagnostic.js";

export interface Source {
  /** For errors: a path, a file's name, an address. */
  readonly label: string;
  readonly size: number;
  /** Bytes begin .. end-1, within 0 .. size, in an array of their own. Error: DIT4001 (they cannot be had). */
  read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
}

export const bytesSource = (bytes: Uint8Array, label: string): Source => ({
  label,
  size: bytes.length,
  read: async (begin, end) => bytes.slice(begin, end) as Uint8Array<ArrayBuffer>,
});

/** A File or Blob of a page: what a file input or a drop gives. */
export const blobSource = (blob: Blob, label: string = (blob as { readonly name?: string }).name ?? "the file"): Source => ({
  label,
  size: blob.size,
  async read(begin, end) {
    try {
      return new Uint8Array(await blob.slice(begin, end).arrayBuffer());
    } catch (error) {
      return fail("DIT4001", `cannot read ${label}: ${error instanceof Error ? error.message : String(error)}`, {
        help: "the file was changed or removed since it was chosen: choose it again",
      });
    }
  },
});

/** Small reads, headers and biases, come out of a block that is fetched as a whole and kept until another is. */
const BLOCK = 2 ** 18;

/**
 * A file behind an address. Its server must answer requests for ranges, as those of models do.
 * Error: DIT4079 (it cannot be fetched, or not by ranges).
 */
export async function urlSource(url: string | URL, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Source> {
  const label = String(url);
  const first = await fetchRange(label, 0, 1, signal);
  const [, total] = /^bytes 0-0\/(\d+)$/.exec(first.headers.get("content-range") ?? "") ?? [];
  await first.body?.cancel();
  if (first.status !== 206 || total === undefined) {
    fail("DIT4079", `${label}: its server gives the whole file only, expected ranges of it`, {
      notes: [`the answer to a range of one byte was ${first.status}`],
      help: "download the file and name it, or choose it in the page",
    });
  }
  const size = Number(total);
  const fetched = async (begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> => {
    const response = await fetchRange(label, begin, end, signal);
    const bytes = response.status === 206 ? await body(label, response) : new Uint8Array(0);
    if (bytes.length === end - begin) return bytes;
    return fail("DIT4079", `${label}: bytes ${begin}..${end} were asked for, found ${bytes.length} (${response.status})`, {
      help: "the file may have changed meanwhile: try again",
    });
  };
  let block = { begin: 0, bytes: new Uint8Array(0) };
  return {
    label,
    size,
    async read(begin, end) {
      if (end - begin > BLOCK / 2) return fetched(begin, end);
      if (begin < block.begin || end > block.begin + block.bytes.length) {
        block = { begin, bytes: await fetched(begin, Math.min(size, begin + BLOCK)) };
      }
      return block.bytes.slice(begin - block.begin, end - block.begin);
    },
  };
}

async function fetchRange(label: string, begin: number, end: number, signal: AbortSignal | undefined): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(label, { headers: { range: `bytes=${begin}-${end - 1}` }, ...(signal ? { signal } : {}) });
  } catch (error) {
    return unreachable(label, error);
  }
  if (response.ok) return response;
  return fail("DIT4079", `${label} could not be fetched: ${response.status} ${response.statusText}`, {
    help: "check the address",
  });
}

const body = async (label: string, response: Response): Promise<Uint8Array<ArrayBuffer>> =>
  response.arrayBuffer().then(
    (buffer) => new Uint8Array(buffer),
    (error: unknown) => unreachable(label, error),
  );

/** What a caller ends is no error of the network. */
function unreachable(label: string, error: unknown): never {
  if (error instanceof Error && error.name === "AbortError") throw error;
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return fail("DIT4079", `${label} could not be fetched: ${error instanceof Error ? error.message : String(error)}${cause}`, {
    help: "check the address and the connection; in a page the server must allow it (CORS, with the header Range)",
  });
}
