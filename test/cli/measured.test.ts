// The file of `npm run measure` can be sent to anyone and is whole after each part.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FORMAT, measuredBefore, withoutPaths, writeMeasured } from "../../scripts/measured.mjs";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dit-compile-measured-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("folders have names in place of paths, wherever they stand", () => {
  const folders = [
    ["/home/eve", "HOME"],
    ["/home/eve/dit", "PROJECT"],
    ["C:\\Users\\Eve", "HOME"],
  ] as const;
  const said = {
    errors: ["at /home/eve/dit/src/a.ts:3:1", "(file:///home/eve/x) /home/eve", "/home/evelyn and /home/eve-2 stay"],
    "/home/eve/key": [{ n: 1, none: null, yes: true }],
    windows: "C:\\Users\\Eve\\dit and file:///C:/Users/Eve/dit",
  };
  expect(withoutPaths(said, folders)).toEqual({
    errors: ["at PROJECT/src/a.ts:3:1", "(file://HOME/x) HOME", "/home/evelyn and /home/eve-2 stay"],
    "HOME/key": [{ n: 1, none: null, yes: true }],
    windows: "HOME\\dit and file:///HOME/dit",
  });
  // A root as a home is no name to hide.
  expect(withoutPaths(["/a/b", "a/b"], [["/", "HOME"]])).toEqual(["/a/b", "a/b"]);
});

const run = { format: FORMAT, commit: "0123456789ab", adapter: "a GPU", about: { cores: 2 } };
const parts = { adapter: { features: [] } };
const seconds = { adapter: 1 };

test("parts of the same commit, adapter and machine are kept, others not", () => {
  const file = join(folder, "measure.json");
  const nothing = { parts: {}, seconds: {} };
  expect(measuredBefore(file, run)).toEqual(nothing);
  writeMeasured(file, { ...run, parts, seconds });
  expect(readdirSync(folder)).toEqual(["measure.json"]);
  expect(measuredBefore(file, run)).toEqual({ parts, seconds });
  for (const other of [{ commit: "ab" }, { adapter: "another" }, { about: { cores: 4 } }])
    expect(measuredBefore(file, { ...run, ...other })).toEqual(nothing);
  // Changes are not the same changes.
  const changed = { ...run, commit: "0123456789ab with changes" };
  writeMeasured(file, { ...changed, parts, seconds });
  expect(measuredBefore(file, changed)).toEqual(nothing);
  writeFileSync(file, readFileSync(file, "utf8").slice(0, 40));
  expect(measuredBefore(file, run)).toEqual(nothing);
});
