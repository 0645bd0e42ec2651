/** Sources of ranges: an address gives what the file gives, in few requests, and says what is wrong with its server. */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoints/open.js";
import { ditWeights } from "../../src/checkpoints/weights.js";
import { bytesSource, urlSource } from "../../src/formats/source.js";

const bytes = readFileSync("test/golden/tiny-trainer.pt");
let server: Server;
let origin: string;
const asked: string[] = [];
beforeAll(async () => {
  server = createServer(({ url, headers }, response) => {
    asked.push(headers.range ?? "all");
    const [, begin, end] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
    if (url === "/plain.pt" || begin === undefined) return void response.writeHead(200).end(bytes);
    if (url !== "/tiny.pt") return void response.writeHead(404).end();
    const last = Math.min(Number(end), bytes.length - 1);
    response.writeHead(206, { "content-range": `bytes ${begin}-${last}/${bytes.length}` });
    response.end(bytes.subarray(Number(begin), last + 1));
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  origin = `http://localhost:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());

test("an address gives the tensors of the file, in a few blocks", async () => {
  asked.length = 0;
  const source = await urlSource(`${origin}/tiny.pt`);
  expect(source.size).toBe(bytes.length);
  const there = ditWeights(await openCheckpoint(source), "ema").tensors;
  const here = ditWeights(await openCheckpoint(bytesSource(bytes, "tiny.pt")), "ema").tensors;
  for (const [name, view] of here) expect(await there.get(name)!.read(), name).toEqual(await view.read());
  // 32 tensors, each with a header of its own in the archive.
  expect(asked.length).toBeLessThan(24);
  expect(asked.every((range) => range.startsWith("bytes="))).toBe(true);
});

test.each([
  ["no ranges", "/plain.pt", /DIT4079.*whole file only/],
  ["no such file", "/none.pt", /DIT4079.*404/],
])("%s is said", async (_, path, said) => {
  await expect(urlSource(origin + path)).rejects.toThrow(said);
});

test("no server is said, and what a caller ends is the caller's", async () => {
  await expect(urlSource("http://localhost:1/x.pt")).rejects.toThrow(/DIT4079.*could not be fetched/);
  await expect(urlSource(`${origin}/tiny.pt`, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
});
