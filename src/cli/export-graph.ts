/**
 * The formats of `export` that are made of the model's graph. The model is a file (`*.ts`), the one that a run was trained with, or, for a
 * checkpoint, the DiT that its shapes say.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fail } from "../diagnostics/diagnostic.js";
import type { ExportedModel } from "../exports/model.js";
import type { TensorView } from "../formats/tensor-view.js";
import { withCheckpoint } from "./checkpoint-file.js";
import type { Exported, ExportFlags } from "./export.js";

/** A model with the weights that belong to it, for the time of `use`. */
interface Found {
  readonly file: string;
  readonly preset: string | undefined;
  readonly set: readonly string[];
  /** Where the weights come from. */
  readonly label: string;
  readonly tensors: ReadonlyMap<string, TensorView>;
}

/** `--format onnx` */
export async function exportOnnx(from: string, flags: ExportFlags, version: string): Promise<Exported> {
  return withFound(from, flags, async (found) => {
    const [{ exportedWeights }, { writeOnnx }] = await Promise.all([
      import("../exports/weights.js"),
      import("../exports/onnx/write.js"),
    ]);
    const model = await modelOf(found);
    const weights = exportedWeights(found.label, found.tensors, model);
    const { nodes, data, bytes } = await writeOnnx(flags.output, model, weights, { version, external: flags.external ?? false });
    const beside = data === undefined ? "" : `, weights in ${data}`;
    return {
      said: `${titleOf(model)}, forward, ${nodes} nodes, weights from ${found.label}${beside}`,
      facts: { from: found.label, preset: model.preset ?? null, config: model.config, nodes, bytes, data: data ?? null },
    };
  });
}

/** `--format torch`: the program alone, which reads weights itself. */
export async function exportTorch(from: string, flags: ExportFlags): Promise<Exported> {
  if (from.endsWith(".ts") && flags.weights !== undefined) {
    fail("DIT7001", "--weights has no place in --format torch: the file reads weights when it runs", { help: "leave it out" });
  }
  const use = async (found: Pick<Found, "file" | "preset" | "set">): Promise<Exported> => {
    const { writeTorch } = await import("../exports/torch/write.js");
    const model = await modelOf(found, true);
    const { trains } = await writeTorch(flags.output, model);
    const said = `${titleOf(model)}, model${trains ? ", loss and training" : model.loss ? " and loss" : ""}`;
    return { said, facts: { preset: model.preset ?? null, config: model.config } };
  };
  const { preset, set } = flags;
  return from.endsWith(".ts") ? use({ file: from, preset, set }) : withFound(from, flags, use);
}

async function modelOf({ file, preset, set }: Pick<Found, "file" | "preset" | "set">, loss = false): Promise<ExportedModel> {
  const { exportedModel } = await import("../exports/model.js");
  return exportedModel(file, { set, ...(preset === undefined ? {} : { preset }) }, loss);
}

const titleOf = ({ name, preset }: ExportedModel): string => `${name}${preset === undefined ? "" : `, preset ${preset}`}`;

async function withFound<T>(from: string, flags: ExportFlags, use: (found: Found) => Promise<T>): Promise<T> {
  const { preset, set, which } = flags;
  if (from.endsWith(".ts")) {
    const { weights } = flags;
    if (weights === undefined) {
      return fail("DIT7001", `${from} is a model file: it has no weights`, { help: "give --weights FILE" });
    }
    return withTensors(weights, which, (tensors) => use({ file: from, preset, set, label: weights, tensors }));
  }
  if (flags.weights !== undefined) {
    fail("DIT7001", `--weights goes with a model file, and ${from} is none`, { help: "name the model file, or leave it out" });
  }
  if (existsSync(join(from, "train.json"))) return withRun(from, flags, use);
  return withCheckpoint(from, { set, ...(preset === undefined ? {} : { preset }) }, async (checkpoint, hints) => {
    const { ditWeights, withHeads } = await import("../checkpoints/weights.js");
    const { nameConfig } = await import("../checkpoints/config.js");
    const weights = ditWeights(checkpoint, which, hints);
    const named = nameConfig(withHeads(weights));
    const settings = Object.entries(named.set).map(([key, value]) => `${key}=${value}`);
    return use({ file: shipped, preset: named.preset, set: settings, label: from, tensors: weights.tensors });
  });
}

/** The model of this package, which published checkpoints are of. */
const shipped = fileURLToPath(new URL("../../models/dit.graph.ts", import.meta.url));

/** What a run was trained with, and its newest weights. */
async function withRun<T>(from: string, { preset, set, which }: ExportFlags, use: (found: Found) => Promise<T>): Promise<T> {
  if (preset !== undefined || set.length > 0) {
    fail("DIT7001", `${from} says what its model is: --preset and --set would be of another`, { help: "leave them out" });
  }
  const [{ readConfig, resolveConfig, settingsOf }, { weightsOfRun }] = await Promise.all([
    import("../trainer/train-config.js"),
    import("../trainer/imported.js"),
  ]);
  const config = resolveConfig({ data: from, steps: 1 }, await readConfig(join(from, "train.json")));
  const label = weightsOfRun(from, which);
  return withTensors(label, which, (tensors) =>
    use({ file: config.model, preset: config.preset, set: settingsOf(config), label, tensors }),
  );
}

async function withTensors<T>(
  file: string,
  which: string,
  use: (tensors: ReadonlyMap<string, TensorView>) => Promise<T>,
): Promise<T> {
  const { choosePart } = await import("../checkpoints/weights.js");
  return withCheckpoint(file, { set: [] }, async (checkpoint) => use(choosePart(checkpoint, which)[1]));
}
