/**
 * `--target FILE`: the limits of one machine, as `doctor --profile FILE` writes them. A program compiled for them may use all of it,
 * and is refused with the names of what is missing where there is less.
 */
import { basename } from "node:path";
import { fail } from "../diagnostics/diagnostic.js";
import { readFileBytes } from "../formats/files.js";
import { MATRICES, type Profile, webLimits } from "../program/program.js";
import { shown } from "../program/shown.js";

/** Features that kernels can make use of; an adapter has many more that say nothing about where a program runs. */
const usable = ["shader-f16", "subgroups", MATRICES];
const HELP = "dit-compile doctor --profile FILE writes a profile of this machine";

/** "web", "minimum", or a profile from a file. Error: DIT7002 with everything that is wrong in it. */
export async function readTarget(target: string): Promise<"web" | "minimum" | Profile> {
  if (target === "web" || target === "minimum") return target;
  if (!/[./\\]/.test(target)) {
    fail("DIT7002", `there is no target "${target}"`, {
      help: "targets are web, minimum, and files by their path, like ./gpu.json",
    });
  }
  const text = new TextDecoder().decode(await readFileBytes(target));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    fail("DIT7002", `${target} is not JSON: ${error instanceof Error ? error.message : String(error)}`, { help: HELP });
  }
  return parseProfile(value, target);
}

export function parseProfile(value: unknown, file: string): Profile {
  const problems: string[] = [];
  const problem = (message: string) => problems.push(message);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    fail("DIT7002", `${file} is not a limits profile`, { help: HELP });
  const { features, limits, subgroupMinSize: least, subgroupMaxSize: most } = value as Record<string, unknown>;

  const named = Array.isArray(features) && features.every((feature) => typeof feature === "string");
  if (!named) problem(`"features" is ${shown(features)}, expected a list of names`);
  const found: Record<string, number> = {};
  if (typeof limits !== "object" || limits === null || Array.isArray(limits))
    problem(`"limits" is ${shown(limits)}, expected an object`);
  else {
    for (const [name, least] of Object.entries(webLimits)) {
      const limit = (limits as Record<string, unknown>)[name] ?? least;
      if (!Number.isSafeInteger(limit) || (limit as number) < 1)
        problem(`limit ${name} is ${shown(limit)}, expected a whole number`);
      else if (name.startsWith("min") ? (limit as number) > least : (limit as number) < least) {
        problem(`limit ${name} is ${shown(limit)}, WebGPU guarantees ${least}`);
      } else found[name] = limit as number;
    }
  }
  for (const [name, width] of Object.entries({ subgroupMinSize: least, subgroupMaxSize: most })) {
    if (width !== undefined && !(Number.isSafeInteger(width) && (width as number) >= 1)) {
      problem(`${name} is ${shown(width)}, expected a whole number`);
    }
  }
  if (problems.length > 0) fail("DIT7002", `${file} is not a limits profile`, { notes: problems, help: HELP });
  const fixed = least !== undefined && least === most && (features as string[]).includes("subgroups");
  return {
    name: basename(file).replace(/\.json$/, ""),
    features: usable.filter((feature) => (features as string[]).includes(feature)),
    limits: found,
    ...(fixed ? { subgroupSize: least as number } : {}),
    variants: true,
  };
}
