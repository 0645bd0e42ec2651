/** Runs kernel-stage modules that no model stands behind on a device. */
import { lower } from "../../src/codegen/lower.js";
import type { Module } from "../../src/ir/graph.js";
import { bodyOf } from "../../src/ir/region.js";
import { type Bundle, FORMAT, VERSION, webLimits } from "../../src/program/program.js";
import type { DawnDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";

export interface RunModuleOptions {
  readonly batch?: number;
  readonly safe?: boolean;
  /** Default: true. Without, what runs where the adapter has no feature. */
  readonly variants?: boolean;
  readonly choices?: Readonly<Record<string, string>>;
}

/** A bundle around a bare module: each function that no region calls is an entry. */
export function bundleOf(
  module: Module,
  { batch = 1, safe = false, variants = true, choices = {} }: RunModuleOptions = {},
): Bundle {
  const bodies = new Set(module.fns.flatMap((fn) => fn.nodes.map((node) => bodyOf(module, node))));
  const entries = module.fns.filter((fn) => !bodies.has(fn)).map(({ name }) => ({ name, segments: [{ fn: name, repeat: 1 }] }));
  const lowered = lower(module, entries, { batch, safe, choices, variants });
  return {
    wgsl: lowered.wgsl,
    constants: new Uint8Array(),
    program: {
      format: FORMAT,
      version: VERSION,
      hash: "",
      model: { name: "test", preset: "", config: {} },
      profile: { name: "web", features: [], limits: webLimits, variants },
      batch,
      storages: lowered.storages,
      parameters: [],
      constants: [],
      kernels: lowered.kernels,
      entries: lowered.entries,
      report: {},
    },
  };
}

/** Runs function `main`. */
export async function runModule(
  module: Module,
  values: ReadonlyMap<string, { readonly data: Float64Array }>,
  dawn: DawnDevice,
  options: RunModuleOptions = {},
): Promise<Record<string, ArrayLike<number>>> {
  const bundle = bundleOf(module, options);
  const session = await createSession(bundle, dawn.device, { batch: options.batch ?? 1 });
  try {
    const inputs = Object.fromEntries(
      bundle.program.entries[0]!.inputs.map((p) => {
        const { data } = values.get(p.name)!;
        return [
          p.name,
          p.dtype === "f32" ? Float32Array.from(data) : p.dtype === "i32" ? Int32Array.from(data) : Uint32Array.from(data),
        ];
      }),
    );
    return (await session.run("main", inputs)) as Record<string, ArrayLike<number>>;
  } finally {
    session.dispose();
  }
}
