/**
 * kill -9 at a random moment, and resume: the run ends with the bytes of one that nobody killed. The command is the built one, in a
 * process of its own, as a person has it; the moments are random, so that each run of this test tries others.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkpointPath, listCheckpoints } from "../../src/trainer/checkpoint.js";

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

/** Until a run has done so many steps, and a moment more; often that is in the middle of writing a file. */
async function after(steps: number, child: ChildProcess): Promise<void> {
  while (!((listCheckpoints(at("run/checkpoints"))[0]?.steps ?? 0) >= steps) && child.exitCode === null) await setTimeout(1);
  await setTimeout(Math.random() * 100);
}

test("a run that is killed twice, then stopped by Ctrl-C, and goes on each time ends with the bytes of one that nobody stopped", async () => {
  run(train("straight"));
  for (const steps of [1, 10]) {
    const child = spawn(process.execPath, train("run", ...(steps > 1 ? ["--resume"] : [])), { stdio: "ignore" });
    const dead = new Promise((resolve) => child.once("exit", (_, signal) => resolve(signal)));
    await after(steps, child);
    child.kill("SIGKILL");
    expect(await dead, "the run was over before it was killed").toBe("SIGKILL");
  }

  const child = spawn(process.execPath, train("run", "--resume"), { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (text: Buffer) => (said += text.toString()));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  await after(20, child);
  child.kill("SIGINT");
  expect(await ended).toBe(130);
  expect(said).toMatch(/resumed from .*: step \d+, \d+ images seen/);
  expect(said).toMatch(/ending after this step, with a checkpoint/);

  expect(run(train("run", "--resume"))).toMatch(/resumed from .*: step \d+, \d+ images seen/);
  const [straight, last] = ["straight", "run"].map((name) => readFileSync(checkpointPath(at(`${name}/checkpoints`), STEPS)));
  expect(last!.equals(straight!)).toBe(true);
  const losses = (name: string) =>
    readFileSync(at(`${name}/loss.jsonl`), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { step: number; loss: number })
      // Where it was stopped, a run says its loss once more.
      .flatMap(({ step, loss }) => (step === 1 || step % 10 === 0 ? [[step, loss]] : []));
  expect(losses("run")).toEqual(losses("straight"));
});
