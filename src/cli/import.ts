/** `dit-compile import FILE -o PLACE`: weights or a whole training of another program, as this one reads them. */
import type { Command } from "commander";
import { type ModelFlags, PRESET, SET } from "./checkpoint-file.js";
import { type Io, printJson } from "./io.js";
import { collect, jsonOption, whichOption } from "./options.js";
import { progress } from "./progress.js";

interface Flags extends ModelFlags {
  readonly output: string;
  readonly which: "ema" | "model";
  readonly model: string;
  readonly json?: boolean;
}

export function register(program: Command, io: Io): void {
  program
    .command("import")
    .description("take over a checkpoint of PyTorch or diffusers: its weights, or a training to go on with")
    .argument("<file>", "a .pt file of the official code or a safetensors file, or an address of one")
    .requiredOption(
      "-o, --output <place>",
      "NAME.safetensors for weights; any other name: a folder with the whole training, for sample and train --resume",
    )
    .addOption(whichOption())
    .option("-m, --model <file>", "model file that train --resume shall compile", "models/dit.graph.ts")
    .option("-p, --preset <name>", PRESET)
    .option("-s, --set <key=value>", SET, collect, [])
    .addOption(jsonOption())
    .action((file: string, flags: Flags) => importCommand(file, flags, io));
}

async function importCommand(file: string, flags: Flags, io: Io): Promise<void> {
  const [{ withCheckpoint }, { ditWeights }, { configText }, { importRun, importWeights }] = await Promise.all([
    import("./checkpoint-file.js"),
    import("../checkpoints/weights.js"),
    import("../checkpoints/config.js"),
    import("../trainer/imported.js"),
  ]);
  const meter = progress("tensors", { print: (line) => io.err(`${line}\n`) });
  const onTensor = (done: number, total: number): void => meter.update(done, total);
  try {
    await withCheckpoint(file, flags, async (checkpoint, hints) => {
      const { output } = flags;
      if (output.endsWith(".safetensors")) {
        const weights = ditWeights(checkpoint, flags.which, hints);
        await importWeights(output, weights, onTensor);
        meter.end();
        const { part, layout, named, config, tensors } = weights;
        if (flags.json) printJson(io, { output, part, layout, preset: named.preset ?? null, config, tensors: tensors.size });
        io.err(`wrote ${output}: ${tensors.size} tensors of part ${part}, ${configText(named)}\n`);
        return;
      }
      const { steps, samples, config } = await importRun(output, checkpoint, { model: flags.model, hints, onTensor });
      meter.end();
      if (flags.json) printJson(io, { output, steps, samples, config });
      io.err(`wrote ${output}: a training after ${steps} steps of ${config.batch} images\n`);
      io.err(`go on: dit-compile train --resume -o ${output} --data DATA --steps N\n`);
    });
  } finally {
    meter.end();
  }
}
