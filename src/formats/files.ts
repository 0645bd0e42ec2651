/**
 * Files on disk, for Node: whole, by range, and written so that a crash never leaves half a file.
 * Each refusal of the system becomes one sentence that names the path and what to do.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DitError, fail } from "../diagnostics/diagnostic.js";

const REASONS: Readonly<Record<string, readonly [reason: string, help: string]>> = {
  ENOENT: ["it does not exist", "check the path"],
  EISDIR: ["it is a folder", "name a file inside it"],
  ENOTDIR: ["a part of the path is a file, not a folder", "check the path"],
  EACCES: ["permission is denied", "check who owns it and its access rights"],
  EPERM: ["permission is denied", "check who owns it and its access rights"],
  EROFS: ["the file system is read-only", "choose another folder"],
  ENOSPC: ["the disk is full", "free some space or choose another disk"],
  EDQUOT: ["your quota is used up", "free some space or choose another disk"],
  EMFILE: ["too many files are open", "raise the limit with `ulimit -n`"],
};

function refuse(code: string, verb: string, path: string, error: unknown): never {
  if (error instanceof DitError) throw error;
  const system = error instanceof Error && "code" in error ? String(error.code) : "";
  const [reason, help] = REASONS[system] ?? [
    error instanceof Error ? error.message : String(error),
    "check the path and try again",
  ];
  fail(code, `cannot ${verb} ${path}: ${reason}`, { help });
}

async function fill(file: FileHandle, path: string, begin: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    // One read is limited by the system to somewhat less than 2 GiB.
    const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 2 ** 30), begin + done);
    if (bytesRead === 0) {
      fail("DIT4001", `cannot read ${path}: it ends at byte ${begin + done}, expected ${begin + length}`, {
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
    return fill(file, path, 0, info.size);
  });
}

/** Bytes begin .. end-1 of a file: a tensor of a checkpoint that is too big to hold. Error: DIT4001. */
export async function readFileRange(path: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  return withFile(path, (file) => fill(file, path, begin, end - begin));
}

/** Size of a file in bytes. Error: DIT4001. */
export async function fileSize(path: string): Promise<number> {
  return withFile(path, async (file) => (await file.stat()).size);
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    return await use(file);
  } catch (error) {
    return refuse("DIT4001", "read", path, error);
  } finally {
    await file?.close();
  }
}

/**
 * Writes a file as one event: a temporary name in the same folder, fsync, rename. Readers see the old file or the new one, and
 * after a crash at most a `.tmp` file is left over. Missing folders are made. Error: DIT4002 with the reason; the old file stays.
 */
export async function writeFileAtomic(path: string, bytes: Uint8Array | string): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    refuse("DIT4002", "write", path, error);
  }
}

/** Makes the rename itself survive a power cut. Some systems cannot open folders; there the rename is what they give. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch {
    // Nothing to be done, and the file is written.
  }
}
