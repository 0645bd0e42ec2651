/** A stranger's value in a sentence: short, however long or deep it is. JSON.stringify would follow it to the end, or to the stack's. */

const ROOM = 60;
const DEEPEST = 4;

export function shown(value: unknown): string {
  const text = brief(value, DEEPEST);
  return text.length > ROOM ? `${text.slice(0, ROOM - 3)}...` : text;
}

/** As JSON has it; of what is too long to be shown, only the beginning. */
function brief(value: unknown, depth: number): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, ROOM));
  if (value === undefined) return "missing";
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (depth === 0) return "...";
  if (Array.isArray(value)) return `[${value.slice(0, ROOM / 2).map((item) => brief(item, depth - 1))}]`;
  const parts: string[] = [];
  for (const key in value) {
    if (parts.length === ROOM / 4) break;
    parts.push(`${brief(key, depth)}:${brief((value as Record<string, unknown>)[key], depth - 1)}`);
  }
  return `{${parts}}`;
}
