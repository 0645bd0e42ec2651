/** The reader of checkpoints in a page: a File that a person chose and an address give the numbers that Node reads from the disk. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, Page } from "playwright-core";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoints/open.js";
import { ditWeights } from "../../src/checkpoints/weights.js";
import { bytesSource } from "../../src/formats/source.js";
import { launchChromium } from "./browser.js";

const path = "test/golden/tiny-trainer.pt";
const bytes = readFileSync(path);
let server: Server;
let origin: string;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  const build = await rolldown({ input: "src/checkpoints/index.ts", platform: "browser" });
  const { output } = await build.generate({ format: "esm" });
  await build.close();
  server = createServer(({ url, headers }, response) => {
    const [, begin, end] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
    if (url === "/checkpoints.js") response.writeHead(200, { "content-type": "text/javascript" }).end(output[0].code);
    else if (url === "/tiny.pt" && begin !== undefined) {
      const part = bytes.subarray(Number(begin), Number(end) + 1);
      response.writeHead(206, { "content-range": `bytes ${begin}-${Number(begin) + part.length - 1}/${bytes.length}` }).end(part);
    } else if (url === "/") {
      response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><input type="file">`);
    } else response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, "localhost", () => resolve(undefined)));
  origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  browser = await launchChromium();
  page = await browser.newPage();
  await page.goto(origin);
}, 120_000);
afterAll(async () => {
  await browser?.close();
  server?.close();
});

/** Name, shape and SHA-256 of every tensor. */
async function expected(): Promise<unknown> {
  const { tensors } = ditWeights(await openCheckpoint(bytesSource(bytes, "tiny.pt")), "ema");
  const all: unknown[] = [];
  for (const [name, view] of tensors) {
    const { buffer, byteOffset, byteLength } = await view.read();
    const digest = createHash("sha256")
      .update(new Uint8Array(buffer, byteOffset, byteLength))
      .digest("hex");
    all.push([name, [...view.shape], digest]);
  }
  return all;
}

/** The same in the page, of a source that `make` says how to get. */
const inPage = (make: string): Promise<unknown> =>
  page.evaluate(`(async () => {
    const { blobSource, ditWeights, openCheckpoint, urlSource } = await import("./checkpoints.js");
    const source = await (${make})({ blobSource, urlSource });
    const { tensors } = ditWeights(await openCheckpoint(source), "ema");
    const all = [];
    for (const [name, view] of tensors) {
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await view.read()));
      all.push([name, view.shape, [...digest].map((b) => b.toString(16).padStart(2, "0")).join("")]);
    }
    return all;
  })()`);

test("a File that was chosen", async () => {
  await page.setInputFiles("input", path);
  expect(await inPage(`({ blobSource }) => blobSource(document.querySelector("input").files[0])`)).toEqual(await expected());
});

test("an address, by ranges", async () => {
  expect(await inPage(`({ urlSource }) => urlSource(new URL("tiny.pt", location.href))`)).toEqual(await expected());
});

test("errors have their code in a page, too", async () => {
  const said = page.evaluate(`(async () => {
    const { blobSource, openCheckpoint } = await import("./checkpoints.js");
    return openCheckpoint(blobSource(new File(["<html>"], "x.pt"))).catch(({ diagnostics }) => diagnostics[0].code);
  })()`);
  expect(await said).toBe("DIT4070");
});
