/**
 * Files on disk, for Node: whole, by range, and written so that a crash never leaves half a file.
 * Each refusal of the system becomes one sentence that names the path and what to do.
 */
import { randomBytes } from "node:crypto";
import type { Dirent, Stats } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fail } from "../diagnostics/diagnostic.js";
import type { Source } from "./source.js";

const REASONS: Readonly<Record<string, readonly [reason: string, help: string]>> = {
  ENOENT: ["it does not exist", "check the path"],
  EISDIR: ["it is a folder", "name a file inside it"],
  ENOTDIR: ["a part of the path is a file, not a folder", "check the path"],
  EACCES: ["permission is denied", "check who owns it and its access rights"],
  EPERM: ["permission is denied", "check who owns it and its access rights"],
  EROFS: ["the file system is read-only", "choose another folder"],
  ENOSPC: ["the disk is full", "free some space or choose another disk"],
  EDQUOT: ["your quota is used up", "free some space or choose another disk"],
  EFBIG: ["it would be larger than files may be here", "raise the limit (`ulimit -f`) or choose another disk"],
  EMFILE: ["too many files are open", "raise the limit with `ulimit -n`"],
};

const NO_PLACE = ["nothing can be made there", "choose another folder"] as const;

/** What the system refused, as one sentence: `cannot write x: the disk is full`. What is no refusal of the system is thrown on. */
export function refuseSystem(code: string, verb: "read" | "write", what: string, error: unknown): never {
  const system = error instanceof Error && "code" in error ? String(error.code) : "";
  // Missing folders are made before a file is; so what is missing then is leave to make one (as in /proc).
  const known = verb === "write" && system === "ENOENT" ? NO_PLACE : REASONS[system];
  if (!known && !(error instanceof Error && "errno" in error)) throw error;
  const [reason, help] = known ?? [(error as Error).message, "check the path and try again"];
  fail(code, `cannot ${verb} ${what}: ${reason}`, { help });
}

/** A folder with all that it lies in. Node's own `recursive` never ends where a file system has no place for folders (/proc). */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && (await stat(path)).isDirectory()) return;
    if (code === "EEXIST") throw Object.assign(new Error("a file"), { code: "ENOTDIR" });
    const above = dirname(path);
    if (code !== "ENOENT" || above === path || (await isFolder(above))) throw error;
    await makeFolder(above);
    await mkdir(path);
  }
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );

/** Bytes begin .. end-1 of an open file. Error: DIT4001 (it is shorter). */
export async function readRange(file: FileHandle, path: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  const length = end - begin;
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    // One read is limited by the system to somewhat less than 2 GiB.
    const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 2 ** 30), begin + done);
    if (bytesRead === 0) {
      fail("DIT4001", `cannot read ${path}: it ends at byte ${begin + done}, expected ${end}`, {
        help: "the file is cut short or is being written: get it again",
      });
    }
    done += bytesRead;
  }
  return bytes;
}

/** The whole file. Error: DIT4001 with the reason. */
export async function readFileBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return withFile(path, async (file) => {
    const info = await file.stat();
    if (info.isDirectory()) throw Object.assign(new Error("folder"), { code: "EISDIR" });
    return readRange(file, path, 0, info.size);
  });
}

/** Bytes begin .. end-1 of a file: a tensor of a checkpoint that is too big to hold. Error: DIT4001. */
export async function readFileRange(path: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  return withFile(path, (file) => readRange(file, path, begin, end));
}

/** What is in a folder, in the order of the names' code units on every system. Error: DIT4001. */
export async function readFolder(path: string): Promise<Dirent[]> {
  try {
    return (await readdir(path, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    return refuseSystem("DIT4001", "read", path, error);
  }
}

/** What a path is, or undefined where there is nothing; links are followed. Error: DIT4001 (anything else). */
export async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    return refuseSystem("DIT4001", "read", path, error);
  }
}

/** The reason that a system's code stands for, as part of a sentence. */
export const systemReason = (code: string): string | undefined => REASONS[code]?.[0];

/** An open file for the time of `use`. Error: DIT4001. */
export async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    return await use(file);
  } catch (error) {
    return refuseSystem("DIT4001", "read", path, error);
  } finally {
    await file?.close();
  }
}

/** An open file as a source of ranges, for the time of `use`. Error: DIT4001. */
export function withSource<T>(path: string, use: (source: Source) => Promise<T>): Promise<T> {
  return withFile(path, async (file) => {
    const info = await file.stat();
    if (info.isDirectory()) throw Object.assign(new Error("folder"), { code: "EISDIR" });
    return use({ label: path, size: info.size, read: (begin, end) => readRange(file, path, begin, end) });
  });
}

/**
 * Writes a file as one event: a temporary name in the same folder, fsync, rename. Readers see the old file or the new one, and
 * after a crash at most a `.tmp` file is left over. Missing folders are made. Error: DIT4002 with the reason; the old file stays.
 */
export const writeFileAtomic = (path: string, bytes: Uint8Array | string): Promise<void> =>
  writeAtomic(path, (file) => file.writeFile(bytes));

/** The same for a file that is written piece by piece. What `write` throws, when it is not the system's, goes through as it is. */
export async function writeAtomic(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString("hex")}${TEMPORARY}`);
  try {
    await makeFolder(folder);
    const file = await open(temporary, "wx");
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    refuseSystem("DIT4002", "write", path, error);
  }
}

/** How the names of files end that are being written, or were when their process died. */
export const TEMPORARY = ".tmp";

/** Makes the rename itself survive a power cut. Some systems cannot open folders; there the rename is what they give. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch {
    // Nothing to be done, and the file is written.
  }
}
