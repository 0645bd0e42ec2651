/**
 * The runtime for pages and workers: fetches a bundle from a folder of a web server, gets a device, and hands out a session.
 * Everything here is plain web platform; it is the only entry of the file that a bundle ships.
 *
 *     import { load } from "./dit/index.js";
 *     const session = await load("./dit/", { batch: 1, entries: ["sample"], weights: "./dit/weights.safetensors" });
 *     const { image } = await session.run("sample", { label: [207], seed: [1, 0] });
 */
import type { Bundle, Program } from "../program/program.js";
import { validate } from "../program/validate.js";
import { deviceDescriptor } from "./device.js";
import { DitRuntimeError, errorText } from "./errors.js";
import { createSession, type Progress, type Session } from "./session.js";
import { streamWeights } from "./weights.js";

export * from "./index.js";

export interface LoadOptions {
  readonly batch?: number | undefined;
  readonly entries?: readonly string[] | undefined;
  /** A device of the caller's; else one is made, and destroyed with the session. */
  readonly device?: GPUDevice | undefined;
  /** Where the weights are; relative to the bundle. Without it they start at zero and `session.write` sets them. */
  readonly weights?: string | URL | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly log?: ((line: string) => void) | undefined;
  readonly memoryLimit?: number | undefined;
  /** Default 12 ms: a page stays at 60 frames a second. */
  readonly submitBudgetMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Loads a bundle from a folder's address, which may be relative to the page. */
export async function load(url: string | URL, options: LoadOptions = {}): Promise<Session> {
  const folder = folderOf(url);
  const bundle = await fetchBundle(folder, options);
  const { device, own } = options.device ? { device: options.device, own: false } : await webDevice(bundle.program);
  const destroy = own ? () => device.destroy() : undefined;
  let session: Session;
  try {
    session = await createSession(bundle, device, { submitBudgetMs: 12, ...options, onDispose: destroy });
  } catch (error) {
    destroy?.();
    throw error;
  }
  if (options.weights === undefined) return session;
  try {
    await loadWeights(session, new URL(options.weights, folder), options);
  } catch (error) {
    session.dispose();
    throw error;
  }
  return session;
}

/** Streams a safetensors file from an address into a session; returns the names that were written. */
export async function loadWeights(
  session: Session,
  url: string | URL,
  options: Pick<LoadOptions, "onProgress" | "signal"> & { readonly rename?: (name: string) => string | undefined } = {},
): Promise<string[]> {
  const response = await get(new URL(url, base()), options.signal);
  const total = Number(response.headers.get("content-length") ?? 0);
  const onBytes = (done: number) => options.onProgress?.({ stage: "weights", done, total: Math.max(total, done) });
  return streamWeights(session, chunks(response), { label: String(url), rename: options.rename, onBytes });
}

/** program.json, the texts of all variants, constants.bin. */
export async function fetchBundle(folder: URL, options: Pick<LoadOptions, "onProgress" | "signal"> = {}): Promise<Bundle> {
  const { signal } = options;
  const response = await get(new URL("program.json", folder), signal);
  let program: Program;
  try {
    program = (await response.json()) as Program;
  } catch (error) {
    throw new DitRuntimeError("DIT6009", `${response.url}: not JSON: ${errorText(error)}`);
  }
  // File names are used as addresses next, so they are checked before; the session checks the rest.
  const problems = validate(program);
  if (problems.length > 0) throw new DitRuntimeError("DIT6001", `${response.url} is not valid:\n  ${problems.join("\n  ")}`);
  const files = [...new Set(program.kernels.flatMap((kernel) => kernel.variants.map((variant) => variant.file)))];
  const total = files.length + 1;
  let done = 0;
  const one = async <T>(name: string, body: (response: Response) => Promise<T>): Promise<T> => {
    const result = await body(await get(new URL(name, folder), signal));
    options.onProgress?.({ stage: "files", done: ++done, total });
    return result;
  };
  const [constants, ...texts] = await Promise.all([
    one("constants.bin", async (body) => new Uint8Array(await body.arrayBuffer())),
    ...files.map((file) => one(file, (body) => body.text())),
  ]);
  return { program, wgsl: Object.fromEntries(files.map((file, i) => [file, texts[i]!])), constants };
}

/** A device that can run the program, from the browser. */
export async function webDevice(program: Program): Promise<{ device: GPUDevice; own: true }> {
  const { gpu } = (globalThis as { navigator?: { gpu?: GPU } }).navigator ?? {};
  if (!gpu) {
    throw new DitRuntimeError("DIT6002", "this browser has no WebGPU", "use a browser with WebGPU, on https or localhost");
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new DitRuntimeError("DIT6002", "the browser offers no GPU adapter", "check the browser's GPU settings");
  const descriptor = deviceDescriptor(program, adapter);
  try {
    return { device: await adapter.requestDevice(descriptor), own: true };
  } catch (error) {
    throw new DitRuntimeError("DIT6002", `the browser refuses a device: ${errorText(error)}`, undefined, { cause: error });
  }
}

async function get(url: URL, signal: AbortSignal | undefined): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, signal ? { signal } : {});
  } catch (error) {
    throw new DitRuntimeError("DIT6009", `${url} could not be fetched: ${errorText(error)}`, undefined, { cause: error });
  }
  if (!response.ok)
    throw new DitRuntimeError("DIT6009", `${url} could not be fetched: ${response.status} ${response.statusText}`);
  return response;
}

/** A body's chunks; not every browser can iterate over a stream itself. */
async function* chunks(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body!.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value as Uint8Array;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** What relative addresses are relative to: the page, or the worker's script. */
function base(): string | undefined {
  const { document, location } = globalThis as { document?: { baseURI: string }; location?: { href: string } };
  return document?.baseURI ?? location?.href;
}

function folderOf(url: string | URL): URL {
  const folder = new URL(url, base());
  if (!folder.pathname.endsWith("/")) folder.pathname += "/";
  return folder;
}
