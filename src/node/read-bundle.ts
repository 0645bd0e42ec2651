/** Reads a bundle from its folder, and believes nothing: structure, file names and contents are checked before anything runs. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../diagnostics/diagnostic.js";
import { readFileBytes } from "../formats/files.js";
import type { Bundle, Program } from "../program/program.js";
import { validate } from "../program/validate.js";

/**
 * Reads and checks a bundle. Errors: DIT7012 (not there, not a bundle, or one that this version cannot run), DIT7013 (its files are
 * not those that it was compiled to).
 */
export async function readBundle(dir: string): Promise<Bundle> {
  const program = await readProgram(dir);
  const names = variantFiles(program);
  const constants = await readFileBytes(join(dir, "constants.bin"));
  const texts = await Promise.all(names.map(async (name) => [name, await text(join(dir, name))] as const));
  const wgsl = Object.fromEntries(texts);
  const problems = validate(program, wgsl, constants.byteLength);
  if (problems.length > 0) refuse(dir, problems);
  const found = hashOf(dir, program, wgsl, constants);
  if (found !== program.hash) {
    fail("DIT7013", `${dir} was changed after it was compiled`, {
      notes: [`program.json says ${program.hash}`, `its files make ${found}`],
      help: "compile it again",
    });
  }
  const ir = await readIr(join(dir, "kernels.ir"));
  return { program, wgsl, constants, ...(ir === undefined ? {} : { ir }) };
}

/**
 * Other ways of a bundle's kernels, for `selectVariants` and `withVariants`, which check them. Error: DIT7012 (it has none, or it is no JSON).
 */
export async function readVariants(dir: string): Promise<unknown> {
  const file = join(dir, "variants.json");
  if (!(await stat(file).catch(() => undefined))) {
    fail("DIT7012", `${dir} has no variants`, { help: "compile the model again, with --variants" });
  }
  const written = await text(file);
  try {
    return JSON.parse(written);
  } catch (error) {
    return fail("DIT7012", `${file} is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Whoever only runs a bundle may have left it out. */
async function readIr(file: string): Promise<string | undefined> {
  return (await stat(file).catch(() => undefined)) ? text(file) : undefined;
}

async function readProgram(dir: string): Promise<Program> {
  const info = await stat(dir).catch(() => undefined);
  if (!info) fail("DIT7012", `there is no bundle ${dir}`, { help: "dit-compile MODEL -o DIR writes one" });
  if (!info.isDirectory()) fail("DIT7012", `${dir} is a file, expected the folder of a bundle`);
  const file = join(dir, "program.json");
  if (!(await stat(file).catch(() => undefined))) {
    fail("DIT7012", `${dir} is not a bundle: it has no program.json`, { help: "dit-compile MODEL -o DIR writes one" });
  }
  const written = await text(file);
  let value: unknown;
  try {
    value = JSON.parse(written);
  } catch (error) {
    fail("DIT7012", `${file} is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  // File names lead to files next, so they are checked before there are any texts.
  const anyText = new Proxy({}, { getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true, value: "" }) });
  const problems = validate(value, anyText);
  if (problems.length > 0) refuse(dir, problems);
  return value as Program;
}

function refuse(dir: string, problems: readonly string[]): never {
  return fail("DIT7012", `${dir} is not a valid bundle`, { notes: problems, help: "compile it again" });
}

const variantFiles = (program: Program): string[] => [
  ...new Set(program.kernels.flatMap((kernel) => kernel.variants.map(({ file }) => file))),
];

const text = async (file: string): Promise<string> => new TextDecoder().decode(await readFileBytes(file));

/** Fields that this version does not know are let through, and hashed; one may be deeper than JavaScript can follow. */
function hashOf(dir: string, ...contents: Parameters<typeof programHash>): string {
  try {
    return programHash(...contents);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return refuse(dir, ["program.json is nested too deeply"]);
  }
}

/** SHA-256 of all that decides what a program computes: everything but the hash itself and the report. */
export function programHash(program: Program, wgsl: Bundle["wgsl"], constants: Uint8Array): string {
  const { hash: _, report: __, ...rest } = program;
  return createHash("sha256").update(JSON.stringify(rest)).update(JSON.stringify(wgsl)).update(constants).digest("hex");
}
