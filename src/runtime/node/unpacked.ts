/** Where the cache folder holds what was fetched, and which variables a process needs to use it. */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { cacheFolder } from "./cache.js";

export interface Place {
  readonly folder: string;
  /** Exists when the thing is there. */
  readonly proof: string;
}

const place = (name: string, proof: string): Place => ({
  folder: join(cacheFolder(), name),
  proof: join(cacheFolder(), name, proof),
});

export const unpacked = {
  lavapipe: () => place("lavapipe", "icd.json"),
  swiftshader: () => place("swiftshader", "icd.json"),
  chromium: () => place("chromium", "usr/lib/chromium/chromium"),
} as const;

/**
 * The folders of shared libraries under an unpacked root: Debian's `usr/lib/<machine>` and `lib/<machine>`, and the one private
 * folder that Chromium's libraries reach by a path which is only right in an installed system.
 */
export function libraryFolders(root: string): string[] {
  return ["usr/lib", "lib"].flatMap((base) => {
    const folder = join(root, base);
    if (!existsSync(folder)) return [];
    const machine = readdirSync(folder).filter((name) => /^[a-z0-9_]+-linux-gnu[a-z0-9]*$/.test(name));
    return machine.flatMap((name) => [join(folder, name), join(folder, name, "pulseaudio")].filter((path) => existsSync(path)));
  });
}

/** LD_LIBRARY_PATH with `folders` before what the user has. */
export function libraryPath(folders: readonly string[], present = process.env.LD_LIBRARY_PATH): string {
  const rest = (present ?? "").split(":").filter((folder) => folder && !folders.includes(folder));
  return [...folders, ...rest].join(":");
}

/** A library of this name in one of the library folders under `root`. */
export function findUnder(root: string, name: string): string | undefined {
  return libraryFolders(root)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));
}

/** Chromium's own SwiftShader stands beside its executable. */
export function besideChromium(executable: string): string | undefined {
  const file = join(dirname(executable), "libvk_swiftshader.so");
  return existsSync(file) ? file : undefined;
}
