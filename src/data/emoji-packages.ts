/**
 * Where emoji come from: four sets of drawings as Iconify packs them (all icons of a set in one JSON file), and emojibase's table of
 * which code point belongs to which of Unicode's subgroups.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fail } from "../diagnostics/diagnostic.js";
import { readFileBytes } from "../formats/files.js";
import { fillOnce } from "../runtime/node/cache.js";
import { unpackNpm } from "../runtime/node/npm.js";

interface StylePackage {
  readonly name: string;
  readonly version: string;
  readonly credit: string;
}

/** In the order in which a name's code point is looked for where a set has no table of its own. */
const STYLES: readonly StylePackage[] = [
  {
    name: "noto",
    version: "1.2.9",
    credit:
      "Noto Emoji, copyright Google Inc, https://github.com/googlefonts/noto-emoji\nLicence: Apache-2.0, https://www.apache.org/licenses/LICENSE-2.0",
  },
  {
    name: "fluent-emoji-flat",
    version: "1.2.6",
    credit:
      "Fluent Emoji, copyright (c) Microsoft Corporation, https://github.com/microsoft/fluentui-emoji\nLicence: MIT, https://github.com/microsoft/fluentui-emoji/blob/main/LICENSE",
  },
  {
    name: "twemoji",
    version: "1.2.5",
    credit:
      "Twemoji, copyright Twitter, Inc and other contributors, https://github.com/jdecked/twemoji\nLicence: CC-BY-4.0, https://creativecommons.org/licenses/by/4.0/",
  },
  {
    name: "noto-v1",
    version: "1.2.5",
    credit:
      "Noto Emoji, its first version, copyright Google Inc, https://github.com/googlefonts/noto-emoji\nLicence: Apache-2.0, https://www.apache.org/licenses/LICENSE-2.0",
  },
];
const TABLE = { name: "emojibase-data", version: "17.0.0" };

/** What must stand beside what is made of the drawings. It has the versions, so a cache that has this very text is the right one. */
export const emojiAttribution = `These emoji were drawn by others. They were turned into small images, and what was made of those (weights, pictures) changes them further.

${STYLES.map(({ name, version, credit }) => `${credit}\nTaken from the npm package @iconify-json/${name} ${version}.\n`).join("\n")}
Classes follow the subgroups of Unicode's emoji as in the npm package ${TABLE.name} ${TABLE.version} (Emojibase, copyright (c) Miles Johnson, MIT licence).
`;

const NOTE = "ATTRIBUTION.txt";

const isWhole = (folder: string): boolean => {
  try {
    return readFileSync(join(folder, NOTE), "utf8") === emojiAttribution;
  } catch {
    return false;
  }
};

/** Makes sure that the packages' files are in the folder. Errors: DIT4034 (they are not, and may not be fetched), DIT4035. */
export function needEmojiPackages(folder: string, download: boolean, log: (line: string) => void): void {
  if (isWhole(folder)) return;
  if (!download) {
    fail("DIT4034", `the emoji are not in ${folder}`, {
      notes: ["they are drawings in npm packages, about 14 MB: Noto (Apache-2.0), Fluent (MIT), Twemoji (CC-BY-4.0)"],
      help: "allow the download: `dit-compile train --data emoji` does",
    });
  }
  log("fetching emoji: npm packages with drawings, about 14 MB");
  try {
    fillOnce(folder, isWhole, (draft) => {
      const take = (spec: string, name: string, files: readonly string[]): void => {
        unpackNpm(
          spec,
          files.map((file) => `package/${file}`),
          draft,
        );
        mkdirSync(join(draft, name));
        for (const file of files) renameSync(join(draft, "package", file), join(draft, name, file.split("/").at(-1)!));
        rmSync(join(draft, "package"), { recursive: true });
      };
      for (const { name, version } of STYLES) take(`@iconify-json/${name}@${version}`, name, ["icons.json", "chars.json"]);
      take(`${TABLE.name}@${TABLE.version}`, TABLE.name, ["en/data.json", "meta/groups.json"]);
      writeFileSync(join(draft, NOTE), emojiAttribution);
    });
  } catch (error) {
    fail("DIT4035", "the emoji could not be fetched", {
      notes: [error instanceof Error ? error.message : String(error)],
      help: "check that npm reaches its registry, and the free space",
    });
  }
}

/** One drawing of one emoji. */
export interface Drawing {
  readonly svg: string;
  /** Units of its drawing along a side. */
  readonly width: number;
  /** As in emojibase's meta/groups.json: "face-smiling". */
  readonly subgroup: string;
  /** Code point of the design; those that differ in skin tone alone have one. */
  readonly design: string;
}

interface IconSet {
  readonly width: number;
  readonly height: number;
  readonly icons: Readonly<Record<string, { readonly body: string; readonly width?: number; readonly height?: number }>>;
}

interface TableRow {
  readonly hexcode: string;
  readonly subgroup?: number;
  readonly skins?: readonly { readonly hexcode: string }[];
}

/** All drawings whose subgroup is known, in the order of styles and names. */
export async function readDrawings(folder: string): Promise<Drawing[]> {
  const json = async <T>(...names: string[]): Promise<T> =>
    JSON.parse(new TextDecoder().decode(await readFileBytes(join(folder, ...names)))) as T;
  const { subgroups } = await json<{ subgroups: Record<string, string> }>(TABLE.name, "groups.json");
  const meanings = new Map<string, { readonly subgroup: string; readonly design: string }>();
  for (const { hexcode, subgroup, skins = [] } of await json<TableRow[]>(TABLE.name, "data.json")) {
    const name = subgroups[String(subgroup)];
    const meaning = name === undefined ? undefined : { subgroup: name, design: codeOf(hexcode) };
    if (meaning) for (const each of [hexcode, ...skins.map((skin) => skin.hexcode)]) meanings.set(codeOf(each), meaning);
  }

  const tables = await Promise.all(
    STYLES.map(async ({ name }) => {
      const chars = Object.entries(await json<Record<string, string>>(name, "chars.json"));
      return new Map(chars.map(([code, icon]) => [icon, codeOf(code)]));
    }),
  );
  const drawings: Drawing[] = [];
  for (const [i, { name }] of STYLES.entries()) {
    const set = await json<IconSet>(name, "icons.json");
    for (const [icon, { body, width = set.width, height = set.height }] of Object.entries(set.icons)) {
      const code = [tables[i]!, ...tables].find((table) => table.has(icon))?.get(icon);
      const meaning = code === undefined ? undefined : meanings.get(code);
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}">${body}</svg>`;
      if (meaning) drawings.push({ svg, width, ...meaning });
    }
  }
  return drawings;
}

/** Code points as all packages have them: lower case, without the selector that only asks for colour. */
const codeOf = (hex: string): string =>
  hex
    .toLowerCase()
    .split("-")
    .filter((part) => part !== "fe0f")
    .join("-");
