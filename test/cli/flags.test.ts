// What every script in scripts/ that takes flags says of them.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const scripts = readdirSync("scripts")
  .map((name) => `scripts/${name}`)
  .filter((path) => / = flags\(\{/.test(readFileSync(path, "utf8")));
const run = (path: string, flag: string) => spawnSync(process.execPath, [path, flag], { encoding: "utf8" });

test("there are such scripts", () => expect(scripts).toContain("scripts/bench.mjs"));

test.each(scripts)("%s", (path) => {
  const help = run(path, "--help");
  expect(help).toMatchObject({ status: 0, stderr: "" });
  expect(help.stdout.length).toBeGreaterThan(80);
  expect(`// ${help.stdout.split("\n")[0]}`).toBe(readFileSync(path, "utf8").split("\n")[0]);
  const mistake = run(path, "--no-such-flag");
  expect(mistake).toMatchObject({ status: 1, stdout: "" });
  expect(mistake.stderr).toBe("error: Unknown option '--no-such-flag'\n  help: --help says what there is\n");
});
