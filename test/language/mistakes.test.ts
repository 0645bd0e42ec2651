/**
 * Mistakes in a model file, each with all that the command says of it: the page docs/mistakes.md is the expectation.
 * `DIT_UPDATE_DOCS=1 npx vitest run --project cpu test/language/mistakes` writes it again, to be read before it is committed.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { exitCode } from "../../src/cli/io.js";
import { compile } from "../../src/compile/compile.js";
import { dit } from "../cli/capture.js";
import { checkPage } from "../docs/generated.js";
import { mistakes } from "./mistakes.js";

const folder = mkdtempSync(join(tmpdir(), "dit-mistakes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "m.graph.ts");

/** The exit code and the text of a compilation, as the command has them. */
async function said(source: string): Promise<{ readonly code: number; readonly err: string }> {
  writeFileSync(file, source);
  let err = "";
  const out = () => expect.unreachable();
  const io = {
    out,
    err: (text: string) => {
      err += text;
    },
  };
  const code = await exitCode(io, () => compile(file));
  return { code, err };
}

test("every mistake has its place, what was expected and found, and what to do", { timeout: 240_000 }, async () => {
  const parts = [
    "# What is said about mistakes",
    "",
    "Model files with one mistake each, and all that `dit-compile` says about them, written by `test/language/mistakes.test.ts`. Exit",
    "code 1, nothing is written. Codes are listed in [errors.md](errors.md).",
  ];
  for (const [name, source] of Object.entries(mistakes)) {
    const { code, err } = await said(source);
    expect([name, code]).toEqual([name, 1]);
    expect(err, name).toMatch(/^(\S+:\d+:\d+: )?error DIT\d{4}: /);
    expect(err, name).not.toMatch(/internal error|^ +at |Require stack|\/tmp\//m);
    parts.push(
      "",
      `## ${name[0]!.toUpperCase()}${name.slice(1)}`,
      "",
      "```ts",
      source.trimEnd(),
      "```",
      "",
      "```",
      err.trimEnd(),
      "```",
    );
  }
  checkPage("docs/mistakes.md", `${parts.join("\n")}\n`);
});

test("the command says the same, and writes nothing", { timeout: 120_000 }, async () => {
  const source = mistakes["a split that does not divide"]!;
  const { err } = await said(source);
  expect(await dit(file, "-o", join(folder, "out"))).toEqual({ code: 1, out: "", err });
  expect(existsSync(join(folder, "out"))).toBe(false);
  const json = await dit(file, "--json", "-o", join(folder, "out"));
  expect([json.code, json.err]).toEqual([1, ""]);
  expect(JSON.parse(json.out)).toEqual({
    error: [
      {
        code: "DIT2006",
        message: 'split: axis "hidden" of size 6 does not divide by 4',
        file: "m.graph.ts",
        line: 8,
        column: 21,
        notes: ["x is f32[batch: B, token: 4, hidden: 6]", "into head: 4, width: ?"],
        help: "choose sizes whose product divides 6",
      },
    ],
  });
});
