/** The names by which callers reach persistent tensors and outputs of a session. */
import type { Layout } from "../program/pack.js";
import type { Program, ScalarType, StorageKind } from "../program/program.js";

export interface Target {
  readonly storage: number;
  readonly dtype: ScalarType;
  /** It lies in memory as f16. */
  readonly half: boolean;
}

/** "p." weights, "m." and "v." first and second moments, "ema." their average, "g." sums of gradients. */
export const prefixes: Readonly<Partial<Record<StorageKind, string>>> = {
  parameter: "p.",
  moment1: "m.",
  moment2: "v.",
  ema: "ema.",
  accumulator: "g.",
};

/** All names of a layout. A weight's own name wins over a state of the same name, which "state.<name>" still reaches. */
export function targetsOf(program: Program, layout: Layout): Map<string, Target> {
  const targets = new Map<string, Target>();
  const add = (name: string, storage: number, dtype: ScalarType) => {
    if (layout.places[storage] && !targets.has(name))
      targets.set(name, { storage, dtype, half: program.storages[storage]!.dtype === "f16" });
  };
  /** Storages have no type of their own; ports and constants that lie in them do. */
  const dtypes = new Map<number, ScalarType>();
  const ports = program.entries.flatMap((entry) => [...entry.inputs, ...entry.outputs]);
  for (const { storage, dtype } of ports) dtypes.set(storage, dtype);
  for (const { storage, dtype } of program.constants) if (storage !== undefined) dtypes.set(storage, dtype);

  const all = program.storages.map((storage, id) => ({ ...storage, id, dtype: dtypes.get(id) ?? ("f32" as const) }));
  for (const { kind, name, id } of all) if (prefixes[kind]) add(`${prefixes[kind]}${name}`, id, "f32");
  for (const { kind, name, id } of all) if (kind === "parameter") add(name, id, "f32");
  for (const { kind, name, id, dtype } of all) {
    if (kind !== "state" && kind !== "constant") continue;
    add(`${kind}.${name}`, id, dtype);
    add(name, id, dtype);
  }
  for (const entry of program.entries) {
    if (!layout.entries.includes(entry.name)) continue;
    for (const port of entry.outputs) add(`${entry.name}.${port.name}`, port.storage, port.dtype);
  }
  return targets;
}
