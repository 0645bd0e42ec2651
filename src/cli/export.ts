/**
 * `dit-compile export RUN_OR_WEIGHTS -o FILE`: a model in the form that another program reads. One table of formats: each says what it
 * is, and writes it.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { type ModelFlags, PRESET, SET } from "./checkpoint-file.js";
import { type Io, printJson } from "./io.js";
import { collect, jsonOption, packageVersion, whichOption } from "./options.js";

export interface ExportFlags extends ModelFlags {
  readonly output: string;
  readonly format: string;
  readonly onnx?: boolean;
  readonly torch?: boolean;
  readonly which: "ema" | "model";
  readonly weights?: string;
  readonly external?: boolean;
  readonly json?: boolean;
}

/** What was written: a sentence for people, and facts for `--json`. */
export interface Exported {
  readonly said: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

interface Format {
  /** For --help. */
  readonly what: string;
  /** `from` is what was named: a folder that `train` or `import` wrote, or a file of weights. */
  write(from: string, flags: ExportFlags, io: Io): Promise<Exported>;
}

const formats: Readonly<Record<string, Format>> = {
  safetensors: { what: "weights by their official names", write: (from, flags) => weights(from, flags, official) },
  diffusers: {
    what: "weights as diffusers' DiTTransformer2DModel has them; with a folder as FILE, its config.json too",
    write: (from, flags) => weights(from, flags, diffusers),
  },
  onnx: {
    what: "the forward pass with its weights, opset 17, for runtimes without WebGPU",
    write: async (from, flags) => (await import("./export-graph.js")).exportOnnx(from, flags, packageVersion()),
  },
  torch: {
    what: "one Python file: the model in PyTorch, its loss and a training loop for torchrun, without the weights",
    write: async (from, flags) => (await import("./export-graph.js")).exportTorch(from, flags),
  },
};

export function register(program: Command, io: Io): void {
  const names = Object.keys(formats);
  const list = Object.entries(formats).map(([name, { what }]) => `${name}: ${what}`);
  program
    .command("export")
    .description("write a model in the form that another program reads")
    .argument(
      "<from>",
      "a folder that `dit-compile train` wrote, a file of weights of any kind that import takes, or, for onnx and torch, a model file",
    )
    .requiredOption("-o, --output <file>", "where it goes")
    .addOption(new Option("-f, --format <name>", list.join("; ")).choices(names).default("safetensors"))
    .addOption(new Option("--onnx", "the same as --format onnx").conflicts(["format", "torch"]))
    .addOption(new Option("--torch", "the same as --format torch").conflicts("format"))
    .addOption(whichOption())
    .option("-p, --preset <name>", PRESET)
    .option("-s, --set <key=value>", SET, collect, [])
    .option("-w, --weights <file>", "the weights of a model file")
    .option("--external", "onnx: the weights in FILE.data in any case, not only where they are larger than 2 GB")
    .addOption(jsonOption())
    .action(async (from: string, flags: ExportFlags) => {
      const format = flags.onnx ? "onnx" : flags.torch ? "torch" : flags.format;
      const { said, facts } = await formats[format]!.write(from, flags, io);
      if (flags.json) printJson(io, { output: flags.output, format, ...facts });
      io.err(`wrote ${flags.output}: ${said}\n`);
    });
}

type Write = (weights: import("../checkpoints/weights.js").DitWeights, flags: ExportFlags) => Promise<void>;

async function weights(from: string, flags: ExportFlags, write: Write): Promise<Exported> {
  const [{ withCheckpoint }, { ditWeights }, { configText }, { weightsOfRun }] = await Promise.all([
    import("./checkpoint-file.js"),
    import("../checkpoints/weights.js"),
    import("../checkpoints/config.js"),
    import("../trainer/imported.js"),
  ]);
  const isRun = existsSync(join(from, "train.json")) || existsSync(join(from, "checkpoints"));
  const file = isRun ? weightsOfRun(from, flags.which) : from;
  return withCheckpoint(file, flags, async (checkpoint, hints) => {
    const found = ditWeights(checkpoint, flags.which, hints);
    await write(found, flags);
    const { part, named, config, tensors } = found;
    return {
      said: `${configText(named)}, from ${file}`,
      facts: { from: file, part, preset: named.preset ?? null, config, tensors: tensors.size },
    };
  });
}

const official: Write = async ({ tensors }, { output }) => {
  const { writeTensors } = await import("../trainer/imported.js");
  await writeTensors(output, tensors, { format: "pt" });
};

const diffusers: Write = async (found, { output }) => {
  const [{ diffusersConfig, toDiffusers }, { withHeads }, { writeTensors }, { writeFileAtomic }] = await Promise.all([
    import("../checkpoints/diffusers.js"),
    import("../checkpoints/weights.js"),
    import("../trainer/imported.js"),
    import("../formats/files.js"),
  ]);
  const views = toDiffusers(found.label, found.tensors, found.config);
  if (output.endsWith(".safetensors")) return writeTensors(output, views, { format: "pt" });
  const config = diffusersConfig(withHeads(found));
  await writeTensors(join(output, "diffusion_pytorch_model.safetensors"), views, { format: "pt" });
  await writeFileAtomic(join(output, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
};
