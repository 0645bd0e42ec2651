/** Choices that the caller makes for kernel families: their names are held against what the families offer. */
import { families } from "../codegen/kernels/index.js";
import { type Diagnostic, DitError } from "../diagnostics/diagnostic.js";

/** Every family's choices, as the command line takes them. */
const offered = families.flatMap(({ name, choices = [] }) => choices.map((choice) => `${name}=${choice.name}`));

/** The same tuning, when its choices are ways that there are. */
export function checkedTuning(tuning: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const problems = [...tuning].flatMap(([key, choice]): Diagnostic[] => {
    if (offered.includes(`matmul=${choice}`)) return [];
    return [{ code: "DIT1304", message: `the tuning of "${key}" is "${choice}", which is no choice`, help: "tune again" }];
  });
  if (problems.length > 0) throw new DitError(problems);
  return tuning;
}

/** The same choices, when each names a family and one of its ways. */
export function checkedChoices(choices: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const problems = Object.entries(choices).flatMap(([family, choice]): Diagnostic[] => {
    if (offered.includes(`${family}=${choice}`)) return [];
    const known = offered.some((text) => text.startsWith(`${family}=`));
    const message = known ? `${family} has no choice "${choice}"` : `there is nothing to choose for "${family}"`;
    return [{ code: "DIT1304", message, help: `choices are: ${offered.join(", ")}` }];
  });
  if (problems.length > 0) throw new DitError(problems);
  return choices;
}
