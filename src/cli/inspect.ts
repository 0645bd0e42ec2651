/** `dit-compile inspect FILE`: what a checkpoint holds, and which model it is of, without reading its numbers. */
import type { Command } from "commander";
import type { Checkpoint, Tensors } from "../checkpoints/open.js";
import { DitError } from "../diagnostics/diagnostic.js";
import { type ModelFlags, PRESET, SET } from "./checkpoint-file.js";
import { type Io, printJson } from "./io.js";
import { collect, jsonOption } from "./options.js";

interface Flags extends ModelFlags {
  readonly json?: boolean;
}

export function register(program: Command, io: Io): void {
  program
    .command("inspect")
    .description("list the tensors of a checkpoint, and say which model it is of")
    .argument("<file>", "a .pt file, a safetensors file, or an address of one; nothing in it is run")
    .option("-p, --preset <name>", PRESET)
    .option("-s, --set <key=value>", SET, collect, [])
    .addOption(jsonOption())
    .action(async (file: string, flags: Flags) => {
      const { withCheckpoint } = await import("./checkpoint-file.js");
      await withCheckpoint(file, flags, async (checkpoint, hints) => {
        const found = await factsOf(checkpoint, hints);
        if (flags.json) printJson(io, found);
        else io.out(await text(found));
      });
    });
}

type Facts = Awaited<ReturnType<typeof factsOf>>;

async function factsOf(checkpoint: Checkpoint, hints: object) {
  const [{ guessConfig, nameConfig }, { layoutOf, officialNames, hintsOf }, { optimizerState }] = await Promise.all([
    import("../checkpoints/config.js"),
    import("../checkpoints/weights.js"),
    import("../checkpoints/optimizer.js"),
  ]);
  const { label, container, args, metadata } = checkpoint;
  const parts = [...checkpoint.parts].map(([name, tensors]) => {
    const list = [...tensors].map(([tensor, { dtype, shape }]) => ({ name: tensor, dtype, shape }));
    const guess = () => {
      const config = guessConfig(label, officialNames(label, tensors).tensors, { ...hintsOf(checkpoint), ...hints });
      return { layout: layoutOf(tensors) ?? null, config, ...nameConfig(config) };
    };
    // What is no DiT is listed all the same, with the reason.
    const [model, problem] = attempt(guess);
    return { name, parameters: countOf(tensors), model, problem, tensors: list };
  });
  const state = await attempted(() => optimizerState(checkpoint));
  return {
    file: label,
    container,
    parts,
    optimizer: state.value
      ? { steps: state.value.steps, parameters: state.value.moments.size, settings: state.value.settings }
      : null,
    ...(state.problem === undefined ? {} : { optimizerProblem: state.problem }),
    args: Object.fromEntries([...args].filter(([, v]) => ["string", "number", "boolean"].includes(typeof v))),
    metadata: Object.fromEntries(metadata),
  };
}

const countOf = (tensors: Tensors): number =>
  [...tensors.values()].reduce((n, { shape }) => n + shape.reduce((product, size) => product * size, 1), 0);

const sentence = (error: unknown): string => {
  if (error instanceof DitError) return error.diagnostics[0]!.message;
  throw error;
};

function attempt<T>(make: () => T): readonly [T | null, string | null] {
  try {
    return [make(), null];
  } catch (error) {
    return [null, sentence(error)];
  }
}

const attempted = <T>(make: () => Promise<T>): Promise<{ value?: T; problem?: string }> =>
  make().then(
    (value) => ({ value }),
    (error: unknown) => ({ problem: sentence(error) }),
  );

async function text({ file, container, parts, optimizer, optimizerProblem, args }: Facts): Promise<string> {
  const [{ table, whole }, { configText }] = await Promise.all([
    import("../compile/text.js"),
    import("../checkpoints/config.js"),
  ]);
  const lines: string[] = [];
  const shapes = (part: Facts["parts"][number]): string => JSON.stringify(part.tensors);
  const rows: string[][] = [["file", `${file}, ${container === "torch" ? "written by torch.save" : "safetensors"}`]];
  for (const { name, parameters, model, problem, tensors } of parts) {
    rows.push([`part ${name}`, `${tensors.length} tensors, ${whole(parameters)} numbers`]);
    rows.push(["", model ? `${configText(model)}, in the ${model.layout} layout` : (problem ?? "")]);
    const { numHeads, inputSize } = model?.config ?? {};
    if (model && numHeads === undefined) rows.push(["", "how many heads attention has, its shapes do not tell"]);
    if (model && inputSize === undefined) rows.push(["", "which side the images have, its shapes do not tell"]);
  }
  if (optimizer) {
    const settings = Object.entries(optimizer.settings).map(([key, value]) => ` ${key}=${value}`);
    rows.push(["optimizer", `${optimizer.steps} steps, moments of ${optimizer.parameters} tensors;${settings.join("")}`]);
  }
  if (optimizerProblem !== undefined) rows.push(["optimizer", optimizerProblem]);
  const options = Object.entries(args).map(([key, value]) => `${key}=${value}`);
  if (options.length > 0) rows.push(["options", options.join(" ")]);
  lines.push(table(rows), "");
  for (const [i, part] of parts.entries()) {
    const same = parts.slice(0, i).find((other) => shapes(other) === shapes(part));
    if (same) lines.push(`${part.name}: the names and shapes of ${same.name}`, "");
    else {
      const list = part.tensors.map(({ name, dtype, shape }) => [name, dtype, `[${shape.join(", ")}]`]);
      lines.push(table([[part.name, "type", "shape"], ...list]), "");
    }
  }
  return `${lines.join("\n")}`;
}
