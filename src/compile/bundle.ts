/**
 * A bundle on disk: the program as JSON, its tables, one WGSL file a kernel, and an index.js that runs it anywhere.
 *
 * Written as one event: everything goes into a new folder beside the old one, which then takes its name. A crash leaves the old bundle
 * or the new one, never a mixture; a folder that is no bundle is not touched. Files that a user put beside ours (weights, say) stay.
 */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fail } from "../diagnostics/diagnostic.js";
import { makeFolder, refuseSystem } from "../formats/files.js";
import { type Bundle, FORMAT } from "../program/program.js";
import { declarations } from "./declarations.js";
import { indexScript, variantFiles } from "./index-script.js";
import { readableJson } from "./text.js";

/** What a bundle folder consists of at its top; all else in it is the user's. */
const OWN = new Set([
  ...["program.json", "constants.bin", "kernels.ir", "index.js", "index.d.ts", "package.json", "kernels"],
  ...["variants.json", "variants.js"],
]);
const NOT_OURS = "name a new folder, or one that dit-compile wrote";

/** Every file of a bundle by its path, in a fixed order. Same bundle, same bytes. */
export function bundleFiles(bundle: Bundle, runtime?: string): Map<string, string | Uint8Array> {
  const { program, wgsl, constants, ir, variants } = bundle;
  return new Map<string, string | Uint8Array>([
    ["program.json", `${readableJson(program)}\n`],
    ["constants.bin", constants],
    ...(ir === undefined ? [] : [["kernels.ir", ir] as const]),
    ["index.js", indexScript(program, runtime)],
    ["index.d.ts", declarations(program)],
    // Without it Node takes index.js for CommonJS.
    ["package.json", `${JSON.stringify({ private: true, type: "module", main: "index.js", types: "index.d.ts" }, null, 2)}\n`],
    ...(variants === undefined ? [] : variantFiles(program, variants)),
    ...Object.entries(wgsl),
  ]);
}

/**
 * Writes a bundle to a folder, which is made, or replaced if it is a bundle. Returns the paths written, relative to it.
 * Errors: DIT7010 (the folder holds something else), DIT7011 (the system refuses).
 */
export async function writeBundle(bundle: Bundle, dir: string): Promise<string[]> {
  const files = bundleFiles(bundle);
  const target = resolve(dir);
  const old = await checkTarget(target, dir);
  const mark = `.${basename(target)}.${randomBytes(6).toString("hex")}`;
  const [fresh, aside] = [join(dirname(target), `${mark}.new`), join(dirname(target), `${mark}.old`)];
  try {
    await makeFolder(dirname(target));
    await mkdir(fresh);
    for (const folder of new Set([...files.keys()].map((file) => dirname(join(fresh, file))))) await makeFolder(folder);
    // At once: hundreds of small files, and what is asked of the system later waits four times as long as it takes.
    for (const [file, content] of files) writeFileSync(join(fresh, file), content, { flag: "wx" });
    if (old === undefined) await rename(fresh, target);
    else await replace(target, fresh, aside, old);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true }).catch(() => {});
    refuseSystem("DIT7011", "write", `the bundle ${dir}`, error);
  }
  return [...files.keys()];
}

/** The entries of the folder that is replaced; undefined when there is none. */
async function checkTarget(target: string, dir: string): Promise<readonly string[] | undefined> {
  const info = await stat(target).catch(() => undefined);
  if (!info) return undefined;
  if (!info.isDirectory()) fail("DIT7010", `${dir} is a file, expected a folder for the bundle`, { help: NOT_OURS });
  const names = await readdir(target).catch((error: unknown) => refuseSystem("DIT7011", "read", dir, error));
  if (names.length > 0 && !(await isBundle(target))) {
    const shown = names.slice(0, 3).join(", ");
    fail("DIT7010", `${dir} holds other things than a bundle (${shown}${names.length > 3 ? ", …" : ""}): nothing was written`, {
      help: NOT_OURS,
    });
  }
  return names;
}

async function isBundle(folder: string): Promise<boolean> {
  try {
    return (JSON.parse(await readFile(join(folder, "program.json"), "utf8")) as { format?: unknown }).format === FORMAT;
  } catch {
    return false;
  }
}

async function replace(target: string, fresh: string, aside: string, names: readonly string[]): Promise<void> {
  await rename(target, aside);
  try {
    for (const name of names.filter((candidate) => !OWN.has(candidate))) await rename(join(aside, name), join(fresh, name));
    await rename(fresh, target);
  } catch (error) {
    for (const name of names.filter((candidate) => !OWN.has(candidate))) {
      await rename(join(fresh, name), join(aside, name)).catch(() => {});
    }
    await rename(aside, target);
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}
