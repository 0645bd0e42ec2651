/** Config values from defaults, a preset and `--set key=value`, in this order. Every mistake is named, with the nearest right key. */
import { type Diagnostic, DitError, fail } from "../diagnostics/diagnostic.js";
import { nearest } from "../program/nearest.js";
import type { ConfigKeys, ConfigValue, ModelDefinition } from "./model.js";

export interface Settings {
  readonly preset: string | undefined;
  /** Model and objective keys together. */
  readonly config: Readonly<Record<string, ConfigValue>>;
}

/** `defaults` are a caller's own, in place of the model's, for those of its keys that the model has. */
export function parseSettings(
  model: ModelDefinition,
  preset?: string,
  sets: readonly string[] = [],
  defaults: Readonly<Record<string, ConfigValue>> = {},
): Settings {
  const keys: ConfigKeys = { ...model.objective?.config, ...model.config };
  const config: Record<string, ConfigValue> = {};
  for (const [key, value] of Object.entries(keys)) {
    config[key] = defaults[key] ?? (typeof value === "object" ? value.oneOf[0]! : value);
  }

  const chosen = preset ?? model.defaultPreset;
  if (chosen !== undefined) {
    const values = Object.hasOwn(model.presets, chosen) ? model.presets[chosen] : undefined;
    if (!values) {
      const help = suggestion(chosen, Object.keys(model.presets));
      fail("DIT1101", `${model.name} has no preset "${chosen}"`, { help });
    }
    Object.assign(config, values);
  }

  const problems: Diagnostic[] = [];
  for (const set of sets) {
    const at = set.indexOf("=");
    const key = (at < 0 ? set : set.slice(0, at)).trim();
    const kind = Object.hasOwn(keys, key) ? keys[key]! : undefined;
    if (at < 0) problems.push({ code: "DIT1103", message: `--set ${set}: expected key=value` });
    else if (kind === undefined) {
      problems.push({
        code: "DIT1103",
        message: `--set ${set}: ${model.name} has no setting "${key}"`,
        help: suggestion(key, Object.keys(keys)),
      });
    } else {
      const value = parseValue(kind, set.slice(at + 1).trim());
      if (typeof value === "object") problems.push({ code: "DIT1103", message: `--set ${set}: ${key} ${value.problem}` });
      else config[key] = value;
    }
  }
  if (problems.length > 0) throw new DitError(problems);
  return { preset: chosen, config };
}

function parseValue(like: ConfigKeys[string], text: string): ConfigValue | { problem: string } {
  if (typeof like === "object") return like.oneOf.includes(text) ? text : { problem: `is one of ${like.oneOf.join(", ")}` };
  if (typeof like === "string") return text;
  if (typeof like === "boolean") {
    if (["true", "on", "yes", "1"].includes(text)) return true;
    return ["false", "off", "no", "0"].includes(text) ? false : { problem: "is on or off" };
  }
  const value = Number(text);
  return text !== "" && Number.isFinite(value) ? value : { problem: `is a number, for example ${like}` };
}

/** "did you mean depth?", or the list of what there is when nothing is near. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  if (near) return `did you mean ${near}?`;
  return known.length > 0 ? `there are: ${known.join(", ")}` : "there are none";
}
