/** Choices that the caller makes for kernel families: their names are held against what the families offer. */
import { families } from "../codegen/kernels/index.js";
import { designOf } from "../codegen/kernels/matmul.js";
import { type Diagnostic, DitError, fail } from "../diagnostics/diagnostic.js";
import type { Profile } from "../program/program.js";
import type { CompileOptions } from "./compile.js";

/** Texts beyond this are nothing to choose: a driver's time to compile grows faster than the text, up to minutes. */
export const MOST_TEXT = 56_000;

/** Every family's choices, as the command line takes them. */
const offered = families.flatMap(({ name, choices = [] }) => choices.map((choice) => `${name}=${choice.name}`));

/** The way that a choice is about, whether or not its sizes stand in the text. */
const wayOf = (family: string, choice: string): string => (family === "matmul" ? (designOf(choice).design ?? choice) : choice);

const isOffered = (family: string, choice: string): boolean => offered.includes(`${family}=${wayOf(family, choice)}`);

/** The same tuning, when its choices are ways that there are. */
export function checkedTuning(tuning: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const problems = [...tuning].flatMap(([key, choice]): Diagnostic[] => {
    if (isOffered("matmul", choice)) return [];
    return [{ code: "DIT1304", message: `the tuning of "${key}" is "${choice}", which is no choice`, help: "tune again" }];
  });
  if (problems.length > 0) throw new DitError(problems);
  return tuning;
}

/** The same choices, when each names a family and one of its ways. */
export function checkedChoices(choices: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const problems = Object.entries(choices).flatMap(([family, choice]): Diagnostic[] => {
    if (isOffered(family, choice)) return [];
    const known = offered.some((text) => text.startsWith(`${family}=`));
    const message = known ? `${family} has no choice "${choice}"` : `there is nothing to choose for "${family}"`;
    return [{ code: "DIT1304", message, help: `choices are: ${offered.join(", ")}` }];
  });
  if (problems.length > 0) throw new DitError(problems);
  return choices;
}

/** What a program is compiled for, as far as a choice may ask for it. */
interface For {
  readonly target?: "web" | "minimum" | Profile;
  readonly dtype?: CompileOptions["dtype"];
}

/** Features that these choices cannot do without. Error: DIT1304 where the program or its target cannot have them. */
export function neededFeatures(choices: Readonly<Record<string, string>>, { target = "web", dtype }: For): string[] {
  return Object.entries(choices).flatMap(([family, choice]) => {
    const { needs = [] } = families
      .find(({ name }) => name === family)!
      .choices!.find(({ name }) => name === wayOf(family, choice))!;
    if (needs.length === 0) return [];
    const [named, features] = [`${family}=${choice}`, needs.join(", ")];
    if (dtype !== "f16") {
      fail("DIT1304", `${named} multiplies numbers of f16, and this program stores none`, {
        help: "compile with --dtype f16, or choose another way",
      });
    }
    if (target === "minimum" || (target !== "web" && !needs.every((feature) => target.features.includes(feature)))) {
      fail("DIT1304", `${named} needs ${features}, which the target "${target === "minimum" ? target : target.name}" lacks`, {
        help: "compile with --target web or for a profile of a device that has it, or choose another way",
      });
    }
    return [...needs];
  });
}
