/**
 * kill -9 at a random moment, and resume: the run ends with the bytes of one that nobody killed. The command is the built one, in a
 * process of its own, as a person has it; the moments are random, so that each run of this test tries others.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkpointPath } from "../../src/trainer/checkpoint.js";

const STEPS = 40;
let folder: string;
const at = (name: string) => join(folder, name);
const train = (output: string, ...more: string[]): string[] => [
  ...["dist/cli/main.js", "train", "models/dit.graph.ts", "-o", at(output), "-d", folder, "-n", String(STEPS), "-b", "8"],
  ...["--sample-every", "0", "--checkpoint-every", "1", "--keep-last", "2"],
  ...["inputSize=4", "patchSize=2", "inChannels=1", "hiddenSize=16", "depth=1", "numHeads=2", "numClasses=3"].flatMap((s) => [
    "-s",
    s,
  ]),
  ...more,
];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "dit-kill-"));
  const idx = (name: string, shape: number[], value: (i: number) => number) => {
    const header = Buffer.alloc(4 + 4 * shape.length);
    header.writeUInt32BE(0x800 + shape.length);
    shape.forEach((size, axis) => void header.writeUInt32BE(size, 4 + 4 * axis));
    const bytes = Uint8Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => value(i));
    writeFileSync(at(name), Buffer.concat([header, bytes]));
  };
  for (const half of ["train", "t10k"]) {
    idx(`${half}-images-idx3-ubyte`, [30, 4, 4], (i) => (i * 37) % 256);
    idx(`${half}-labels-idx1-ubyte`, [30], (i) => i % 3);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (args: string[]): string => {
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  expect(status, stderr).toBe(0);
  return stderr;
};

test("a run that is killed and goes on ends with the same bytes in every tensor", async () => {
  run(train("straight"));
  const last = readFileSync(checkpointPath(at("straight/checkpoints"), STEPS));
  for (const name of ["a", "b"]) {
    const child = spawn(process.execPath, train(name), { stdio: "ignore" });
    const dead = new Promise((resolve) => child.once("exit", (_, signal) => resolve(signal)));
    // From the first checkpoint on, within about the time that the rest takes; often in the middle of writing a file.
    while (!existsSync(checkpointPath(at(`${name}/checkpoints`), 1)) && child.exitCode === null) await setTimeout(1);
    await setTimeout(Math.random() * 300);
    child.kill("SIGKILL");
    expect(await dead, "the run was over before it was killed").toBe("SIGKILL");
    expect(run(train(name, "--resume"))).toMatch(/resumed from .*: step \d+, \d+ images seen/);
    expect(readFileSync(checkpointPath(at(`${name}/checkpoints`), STEPS)).equals(last), name).toBe(true);
    const steps = (run: string) =>
      readFileSync(at(`${run}/loss.jsonl`), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { step: number; loss: number });
    expect(steps(name).map(({ step, loss }) => [step, loss])).toEqual(steps("straight").map(({ step, loss }) => [step, loss]));
  }
});

test("Ctrl-C ends a run with a checkpoint, and it goes on from there", async () => {
  const child = spawn(process.execPath, train("stopped", "--checkpoint-every", "0"), { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (text: Buffer) => (said += text.toString()));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  while (!existsSync(at("stopped/loss.jsonl")) && child.exitCode === null) await setTimeout(1);
  child.kill("SIGINT");
  expect(await ended).toBe(130);
  expect(said).toMatch(/ending after this step, with a checkpoint/);
  run(train("stopped", "--resume"));
  const last = (name: string) => readFileSync(checkpointPath(at(`${name}/checkpoints`), STEPS));
  expect(last("stopped").equals(last("straight"))).toBe(true);
});
