/**
 * docs/first-hour.md, as a newcomer follows it: every command of the page is run in its order, the training killed as the page says, and
 * the page that comes out is opened in Chromium. What the page writes to out/first-hour goes to a temporary folder.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Browser } from "playwright-core";
import { afterAll, expect, test } from "vitest";
import { readPage } from "../docs/generated.js";
import { launchChromium } from "./browser.js";

const folder = mkdtempSync(join(tmpdir(), "dit-first-hour-"));
let browser: Browser | undefined;
let server: Server | undefined;
afterAll(async () => {
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A page's reader has twelve minutes for the training; a test has a few seconds. */
function shorter(text: string): string {
  const short = {
    "--steps 1000 --batch 32": "--steps 16 --batch 8",
    "--checkpoint-every 100": "--checkpoint-every 4",
    "--sample-every 250": "--sample-every 8",
    ddim25: "ddim5",
  };
  return Object.entries(short).reduce((line, [long, few]) => line.replace(long, few), text);
}

/** The commands of the page: those that run to their end, and the one that is killed. */
const commands = [...readPage("docs/first-hour.md").matchAll(/```sh run( until a checkpoint)?\n([\s\S]*?)```/g)].map(
  ([, until, text]) => ({ killed: until !== undefined, text: shorter(text!.replaceAll("out/first-hour", folder)) }),
);
/** A newcomer's shell: without the variables that choose a driver for these tests. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(DIT_|VK_|LP_|GALLIVM_|MESA_|MALLOC_|LD_LIBRARY_PATH|VITEST|NODE_ENV)/.test(name),
  ),
);

async function killAtCheckpoint(text: string): Promise<void> {
  const child = spawn("bash", ["-ec", text], { env, stdio: ["ignore", "ignore", "pipe"], detached: true });
  let said = "";
  child.stderr!.on("data", (piece: Buffer) => (said += piece.toString()));
  const ended = new Promise<string | null>((resolve) => child.once("exit", (_, signal) => resolve(signal)));
  const checkpoints = join(folder, "run/checkpoints");
  const some = () => existsSync(checkpoints) && readdirSync(checkpoints).some((name) => name.startsWith("step-"));
  while (!some() && child.exitCode === null) await setTimeout(20);
  expect(child.exitCode, said).toBe(null);
  // The whole group: the command is a child of npx, which is one of the shell.
  process.kill(-child.pid!, "SIGKILL");
  expect(await ended, "it was over before it was killed").toBe("SIGKILL");
}

test("every command of the first hour does what the page says", { timeout: 600_000 }, async () => {
  expect(commands.map(({ killed }) => killed)).toEqual([false, false, true, false, false, false]);
  expect(commands[2]!.text, "the training is shortened").toMatch(/--steps 16 --batch 8 --checkpoint-every 4 /);
  for (const { killed, text } of commands) {
    if (killed) {
      await killAtCheckpoint(text);
      continue;
    }
    const { status, stdout, stderr } = spawnSync("bash", ["-ec", text], { env, encoding: "utf8" });
    expect(status, `${text}\n${stdout}\n${stderr}`).toBe(0);
    if (text.includes("--resume")) expect(stderr).toMatch(/resumed from .*: step \d+, \d+ images seen/);
  }
  for (const file of ["loss.jsonl", "curve.png", "report.html", "weights.safetensors", "samples", "train.json"]) {
    expect(existsSync(join(folder, "run", file)), file).toBe(true);
  }
  expect(statSync(join(folder, "shapes.png")).size).toBeGreaterThan(1000);
});

const types: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json" };

test("the page draws", { timeout: 300_000 }, async () => {
  server = createServer((request, response) => {
    const path = join(folder, "site", new URL(request.url!, "http://localhost").pathname);
    if (!existsSync(path) || statSync(path).isDirectory()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": types[extname(path)] ?? "application/octet-stream" }).end(readFileSync(path));
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  browser = await launchChromium();
  const page = await browser.newPage();
  const wrong: string[] = [];
  page.on("pageerror", (error) => wrong.push(String(error)));
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/page.html`);
  await page.waitForFunction("!document.querySelector('output').value.startsWith('loading')", undefined, { timeout: 240_000 });
  expect(wrong).toEqual([]);
  expect(await page.evaluate("document.querySelector('output').value")).toMatch(/^8 images in [\d.]+ s$/);
  // More than one colour in each image: something was drawn.
  const colours = (await page.evaluate(`(() => {
    const canvas = document.querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  })()`)) as number;
  expect(colours).toBeGreaterThan(100);
});
