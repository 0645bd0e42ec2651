/** docs/cli.md: what `--help` says, for every command. */
import { expect, test } from "vitest";
import { cli } from "../../src/cli/cli.js";
import { checkPage } from "./generated.js";

async function help(...args: string[]): Promise<string> {
  let text = "";
  const code = await cli([...args, "--help"], {
    out: (more) => {
      text += more;
    },
    err: () => {},
  });
  expect(code).toBe(0);
  return text.trim();
}

test("the page lists the commands and their options", async () => {
  const all = await help();
  const listed = all.slice(all.indexOf("Commands:")).matchAll(/^ {2}([a-z]+)/gm);
  const names = [...listed].map((match) => match[1]!).filter((name) => name !== "help");
  expect(names).toContain("compile");
  const sections: string[] = [];
  for (const name of names) sections.push(`## ${name}`, "", "```", await help(name), "```", "");
  const page = [
    "# The command line",
    "",
    "What `dit-compile --help` and `dit-compile COMMAND --help` print, written by `test/docs/cli.test.ts`. Do not edit this page:",
    "`DIT_UPDATE_DOCS=1 npx vitest run --project cpu test/docs` makes it again.",
    "",
    "Exit codes: 0 when all went well, 1 when something is wrong (the message says what and what to do). Results go to the standard",
    "output, everything about the run to the standard error.",
    "",
    "```",
    all,
    "```",
    "",
    ...sections,
  ];
  checkPage("docs/cli.md", `${page.join("\n").trimEnd()}\n`);
});
