/** What the marked calls of a model file (marked.ts) run: the call itself, at its place, and a name for what it gives. */
import { Recorded } from "../dsl/methods.js";
import { atSite, type Site } from "../dsl/sites.js";
import { nameValue } from "../dsl/trace.js";

/** `sites`: what the indices in the marks stand for. */
export function markers(sites: readonly Site[]) {
  const run = (index: number, call: () => unknown): unknown => {
    const site = sites[index]!;
    const result = atSite(site, call);
    if (site.variable !== undefined) nameResult(result, site.variable);
    return result;
  };
  return {
    __call: (index: number, f: (...args: unknown[]) => unknown, args: unknown[]) => run(index, () => f(...args)),
    __method: (index: number, self: Record<PropertyKey, (...args: unknown[]) => unknown>, key: PropertyKey, args: unknown[]) =>
      run(index, () => self[key]!(...args)),
  };
}

function nameResult(result: unknown, variable: string | readonly string[]): void {
  if (typeof variable === "string") {
    // An array of tensors in one variable stays without: q0, q1, … would say less than no name at all.
    if (result instanceof Recorded) nameValue(result.value, variable);
  } else if (Array.isArray(result)) {
    for (const [i, name] of variable.entries()) if (name !== "") nameResult(result[i], name);
  }
}
