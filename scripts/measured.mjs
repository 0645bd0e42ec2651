// The file that `npm run measure` writes: it can be sent to anyone, so it has no paths; it is whole after each part, so that a run that was
// stopped has what it had found; and parts that were measured before, of the same commit on the same adapter, stay in it.
import { readFileSync, renameSync, writeFileSync } from "node:fs";

export const FORMAT = "dit-compile measure";

/** `value` with the folders that are known here, [path, name] each, by their names wherever a string has them; the longest counts first. */
export function withoutPaths(value, folders) {
  const named = folders
    .flatMap(([path, name]) =>
      [...new Set([path, path.replaceAll("\\", "/")])].map((form) => [form.replace(/[\\/]+$/, ""), name]),
    )
    .filter(([path]) => path !== "")
    .sort(([a], [b]) => b.length - a.length);
  const clean = (text) =>
    named.reduce((left, [path, name]) => {
      // As a whole: "/root" is not what "/rooted" begins with.
      const place = new RegExp(`${path.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")}(?![\\w-])`, "g");
      return left.replaceAll(place, () => name);
    }, text);
  const walk = (x) => {
    if (typeof x === "string") return clean(x);
    if (Array.isArray(x)) return x.map(walk);
    return x !== null && typeof x === "object"
      ? Object.fromEntries(Object.entries(x).map(([key, v]) => [clean(key), walk(v)]))
      : x;
  };
  return walk(value);
}

/** What an earlier file says of parts and their times, if it is of the same commit, adapter and machine; of a commit with changes, nothing. */
export function measuredBefore(file, { commit, adapter, about }) {
  const none = { parts: {}, seconds: {} };
  let known;
  try {
    known = JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return none;
  }
  const same = known.format === FORMAT && known.commit === commit && known.adapter === adapter;
  if (!same || !/^[0-9a-f]+$/.test(commit) || JSON.stringify(known.about) !== JSON.stringify(about)) return none;
  return { parts: known.parts, seconds: known.seconds };
}

export function writeMeasured(file, result) {
  writeFileSync(`${file}.new`, `${JSON.stringify(result, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}
