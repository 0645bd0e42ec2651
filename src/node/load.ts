/** A compiled program in Node, ready to run: bundle, device, weights. */
import type { Bundle } from "../program/program.js";
import type { DriverKind } from "../runtime/node/driver.js";
import { createSession, type Session, type SessionOptions } from "../runtime/session.js";
import { readBundle } from "./read-bundle.js";
import { openWeights, writeWeights } from "./weights.js";

export interface LoadOptions extends SessionOptions {
  /** A device of the caller's; else Dawn makes one, which is given back with the session. */
  readonly device?: GPUDevice | undefined;
  /** Refuse every other kind of driver than this. */
  readonly driver?: DriverKind | undefined;
  /** Safetensors file with the model's state-dict keys (f32, f64, f16, bf16). Without it weights are zero until written. */
  readonly weights?: string | undefined;
}

/**
 * Loads a bundle (a folder, or what `compile()` returned) onto a GPU.
 *
 *     const session = await load("out/dit", { batch: 4, entries: ["forward"], weights: "weights.safetensors" });
 *     const { out } = await session.run("forward", { x, t, y }); // Float32Array of batch × channel × height × width
 *     session.dispose();
 *
 * Inputs and outputs are row-major typed arrays in the shapes that the bundle's index.d.ts lists; `batch` (default: the compiled one)
 * is their first size. `memoryLimit` is in bytes, `submitBudgetMs` in milliseconds. Where the only drivers are software ones,
 * `await ensureDriver()` comes first.
 *
 * Errors: DitError (DIT50xx no device, DIT7012 and DIT7013 bundle, DIT4206 and DIT4207 weights) and DitRuntimeError (DIT6002 device lacks what the
 * program was compiled for, DIT6003 memory, DIT6004 wrong names or batch).
 */
export async function load(bundle: string | Bundle, options: LoadOptions = {}): Promise<Session> {
  const { device: given, driver, weights, onDispose, ...rest } = options;
  const loaded = typeof bundle === "string" ? await readBundle(bundle) : bundle;
  const file = weights === undefined ? undefined : await openWeights(weights, loaded.program);
  const { device, dispose } = given ? { device: given, dispose: () => {} } : await ownDevice(driver);
  // The session calls this also when it cannot be made; a second call does no harm.
  const release = () => {
    dispose();
    onDispose?.();
  };
  let session: Session;
  try {
    session = await createSession(loaded, device, { ...rest, onDispose: release });
  } catch (error) {
    dispose();
    throw error;
  }
  if (!file) return session;
  try {
    const onTensor = (done: number, total: number) => rest.onProgress?.({ stage: "weights", done, total });
    await writeWeights(session, file, { ema: true, onTensor });
  } catch (error) {
    session.dispose();
    throw error;
  }
  return session;
}

async function ownDevice(driver: DriverKind | undefined): Promise<{ device: GPUDevice; dispose: () => void }> {
  const { requestDevice } = await import("../runtime/node/dawn.js");
  return requestDevice(driver ? { driver } : {});
}
