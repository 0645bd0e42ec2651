// `load` as a page uses it, but in Node: a web server hands out a bundle's folder, and Dawn stands in for the browser's GPU.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { writeSafetensors } from "../../src/formats/safetensors.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { DitRuntimeError, load } from "../../src/runtime/web.js";
import { tiny } from "../program/tiny.js";

const files = new Map<string, string | Uint8Array>();
let server: Server;
let dawn: DawnDevice;
let folder: string;

beforeAll(async () => {
  dawn = await requestDevice();
  const { program, wgsl, constants } = tiny();
  for (const [name, text] of Object.entries(wgsl)) files.set(`/dit/${name}`, text);
  files.set("/dit/program.json", JSON.stringify(program));
  files.set("/dit/constants.bin", constants);
  const four = (...values: number[]) => ({ dtype: "F32", shape: [4], data: Float32Array.from(values) }) as const;
  const weights = new Map([
    ["a", four(1, 2, 3, 4)],
    ["b", four(10, 20, 30, 40)],
  ]);
  files.set("/dit/weights.safetensors", writeSafetensors(weights));
  files.set("/evil/program.json", JSON.stringify(program).replace("copy.wgsl", "../copy.wgsl"));
  server = createServer((request, response) => {
    const body = files.get(request.url ?? "");
    response.writeHead(body === undefined ? 404 : 200).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  folder = `http://127.0.0.1:${(server.address() as AddressInfo).port}/dit`;
});
afterEach(() => vi.unstubAllGlobals());
afterAll(() => {
  server?.close();
  dawn?.dispose();
});

test("loads a bundle and its weights, and runs", async () => {
  vi.stubGlobal("navigator", { gpu: dawn.gpu });
  const seen = new Set<string>();
  const session = await load(folder, {
    entries: ["axpb"],
    weights: "weights.safetensors",
    onProgress: ({ stage, done, total }) => seen.add(done === total ? `${stage} done` : stage),
  });
  const { y } = await session.run("axpb", { x: [1, 1, 1, 1, 2, 2, 2, 2], t: [0, 2] });
  expect([...y!]).toEqual([111, 122, 133, 144, 312, 324, 336, 348]);
  expect([...seen]).toEqual(expect.arrayContaining(["files done", "pipelines done", "weights done"]));
  // The device was asked for with what the kernels can use, and goes with the session.
  expect(session.variants[0]!.variant).toBe("subgroup");
  const { lost } = session.device;
  session.dispose();
  expect((await lost).reason).toBe("destroyed");
});

test("takes a device of the caller's, and leaves it alone", async () => {
  const session = await load(`${folder}/`, { device: dawn.device, entries: ["count"] });
  expect([...(await session.run("count")).out!]).toEqual([0, 0, 0, 0]);
  session.dispose();
  const again = await load(folder, { device: dawn.device, entries: ["count"] });
  again.dispose();
});

const refusal = (promise: Promise<unknown>): Promise<DitRuntimeError> =>
  promise.then(
    () => expect.fail("it was accepted"),
    (error: unknown) => {
      expect(error).toBeInstanceOf(DitRuntimeError);
      return error as DitRuntimeError;
    },
  );

test("says what is missing", async () => {
  expect((await refusal(load(folder))).message).toBe("this browser has no WebGPU");
  expect((await refusal(load(folder.replace("/dit", "/dot")))).message).toMatch(/dot\/program.json could not be fetched: 404/);
  const evil = await refusal(load(folder.replace("/dit", "/evil")));
  expect(evil.code).toBe("DIT6001");
  expect(evil.message).toContain('"../copy.wgsl", expected a path inside the bundle');
  const { device } = dawn;
  expect((await refusal(load(folder, { device, weights: "none.safetensors" }))).code).toBe("DIT6009");
  const aborted = await refusal(load(folder, { device, signal: AbortSignal.abort() }));
  expect(aborted.code).toBe("DIT6009");
});
