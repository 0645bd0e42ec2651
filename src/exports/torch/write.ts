/**
 * `--format torch`: one Python file with the model, its loss, a reader of checkpoints and a training loop. Model and loss are written from
 * the graph, node by node, so that any model file can be exported; the rest (model.py, files.py, train.py beside this file) is the same for all.
 */
import { readFileSync } from "node:fs";
import { officialParameters, type Shaped } from "../../checkpoints/layout.js";
import { InternalError } from "../../diagnostics/diagnostic.js";
import type { ParamDecl } from "../../dsl/trace.js";
import { writeFileAtomic } from "../../formats/files.js";
import type { Fn, Node, Value } from "../../ir/graph.js";
import { B, sameSize } from "../../program/size.js";
import { lazyValues } from "../lazy.js";
import { type ExportedFn, type ExportedModel, readable } from "../model.js";
import { type Body, type Call, identifier, type Step, writeBody } from "./body.js";
import { tuple } from "./expression.js";
import { findRepeat, type Repeat } from "./repeats.js";
import { tableText } from "./tables.js";

/** Says whether a training loop is in it. Errors: DIT7060 (an op has no form), DIT4002 (the system refuses). */
export async function writeTorch(path: string, model: ExportedModel): Promise<{ readonly trains: boolean }> {
  await writeFileAtomic(path, torchFile(model));
  return { trains: isTrained(model) };
}

/** One of the parts that are the same for all models: model, files or train. */
export const part = (name: string): string => readFileSync(new URL(`./${name}.py`, import.meta.url), "utf8").trimEnd();
const indent = (lines: readonly string[], by = 4): string[] => lines.map((line) => (line === "" ? "" : " ".repeat(by) + line));

/** What the training loop hands to the loss. */
const TRAINED = ["x_start", "t", "y", "noise"];

function isTrained({ loss }: ExportedModel): boolean {
  const inputs = (loss?.fn.params ?? []).filter((p) => p.kind === "input").map((p) => p.name);
  return TRAINED.length === inputs.length && TRAINED.every((each) => inputs.includes(each));
}

/** The text of the file. */
export function torchFile(model: ExportedModel): string {
  const { name, preset, loss } = model;
  const trains = isTrained(model);
  const title = `${name}${preset === undefined ? "" : `, preset ${preset}`}`;
  const how = trains
    ? [
        "Train it, on one machine or on several, and bring it back:",
        "",
        "    torchrun --nproc-per-node 8 FILE.py --data latents.safetensors --steps 400000 --output run.pt",
        "    dit-compile import run.pt -o out/run",
        "",
      ]
    : [];
  const imports = ["argparse", "base64", "copy", "json", "math", "mmap", "os", "time", "zlib"];
  return `${[
    `"""${title}, in PyTorch (from 1.13 on): written by \`dit-compile export --format torch\` from the model's graph.`,
    "",
    ...how,
    "Parameters have the names of the official checkpoints; load_checkpoint reads safetensors and .pt files.",
    '"""',
    "",
    ...imports.map((each) => `import ${each}`),
    "",
    "import torch",
    "import torch.nn.functional as F",
    "from torch import nn",
    "",
    `CONFIG = ${python(model.config)}`,
    ...(trains ? ["TIMESTEPS = 1000"] : []),
    "",
    part("model"),
    "",
    "",
    ...modelClass(model),
    ...(loss ? ["", "", ...lossClass(model.forward, loss)] : []),
    "",
    "",
    part("files"),
    ...(trains ? ["", "", part("train")] : []),
  ].join("\n")}\n`;
}

const python = (config: ExportedModel["config"]): string =>
  `{\n${Object.entries(config)
    .map(
      ([key, value]) =>
        `    ${JSON.stringify(key)}: ${typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value)},\n`,
    )
    .join("")}}`;

function modelClass({ name, config, forward }: ExportedModel): string[] {
  const fn = readable(forward.fn);
  const lazy = lazyValues(fn);
  const repeat = findRepeat(fn);
  const own = ownNames(fn);
  const given = new Map<Value, string>();
  for (const { name: key, kind, value } of fn.params) {
    given.set(value, kind === "input" ? own.get(value)! : kind === "constant" ? `self.${identifier(key)}` : `w["${key}"]`);
  }
  const steps: Step[] = repeat ? folded(fn, repeat) : [...fn.nodes];
  const results = fn.results.map((r) => r.value);
  const inputs = fn.params.filter((p) => p.kind === "input");
  const body = writeBody({ steps, given, results, lazy });
  const returned =
    body.results.length === 1
      ? body.results[0]!
      : `{${fn.results.map((r, i) => `${JSON.stringify(r.name)}: ${body.results[i]}`).join(", ")}}`;
  const block = repeat ? ["", ...blockMethod(fn, repeat, lazy, given)] : [];
  return [
    "class Model(nn.Module):",
    `    """${name}: the forward pass of the graph, with the place of each line in the model file."""`,
    "",
    "    def __init__(self):",
    "        super().__init__()",
    ...indent(declarations(officialOrder(forward.params, config), repeat), 8),
    ...indent(buffers(forward, fn), 8),
    ...indent(block),
    "",
    `    def forward(self, ${inputs.map((p) => own.get(p.value)).join(", ")}):`,
    `        """${signature(fn)}"""`,
    "        w = dict(self.named_parameters())",
    ...indent(
      [
        ...prelude(
          body.lines.concat(returned),
          fn.params.map((p) => [p.value, given.get(p.value)!]),
        ),
        ...body.lines,
        `return ${returned}`,
      ],
      8,
    ),
  ];
}

/** Names of the inputs as Python has them. */
const ownNames = (fn: Fn): Map<Value, string> => new Map(fn.params.map(({ name, value }) => [value, identifier(name)]));

/** `x [batch, channel, height, width] …` */
const signature = (fn: Fn): string =>
  fn.params
    .filter((p) => p.kind === "input")
    .map(({ name, value }) => `${identifier(name)}: ${value.type.dtype} [${value.type.axes.join(", ")}]`)
    .join("; ");

/** The batch and the device, where the lines speak of them. */
function prelude(lines: readonly string[], values: readonly (readonly [Value, string])[]): string[] {
  const says = (word: string) => lines.some((line) => new RegExp(`(?<![\\w.])${word}(?!\\w)`).test(line.replace(/"[^"]*"/g, "")));
  const sized = values.map(([{ type }, name]) => [name, type.shape.findIndex((size) => sameSize(size, B))] as const);
  const [name, axis] = sized.find(([, at]) => at >= 0) ?? [];
  return [
    ...(says("B") ? [`B = ${name}.shape[${axis}]`] : []),
    ...(lines.some((line) => line.includes("device=device")) ? [`device = ${values[0]![1]}.device`] : []),
  ];
}

/** The function with its repeated run as a loop. */
function folded(fn: Fn, repeat: Repeat): Step[] {
  const { name, count, start, length, carried, shared } = repeat;
  const loop: Call = {
    values: [...carried.map((c) => c.first), ...shared],
    results: carried.map((c) => c.last),
    hints: carried.map((c) => c.first.name),
    line: (values, results) => {
      const passed = values.slice(carried.length);
      const begin = values.slice(0, carried.length).join(", ");
      return [
        `${results.join(", ")} = ${begin}`,
        `for i in range(${count}):`,
        `    ${results.join(", ")} = self.block(w, f"${name}.{i}", ${[...results, ...passed].join(", ")})`,
      ];
    },
  };
  return [...fn.nodes.slice(0, start), loop, ...fn.nodes.slice(start + count * length)];
}

function blockMethod(
  fn: Fn,
  { name, start, length, carried, shared }: Repeat,
  lazy: ReadonlySet<Value>,
  outside: ReadonlyMap<Value, string>,
): string[] {
  const given = new Map<Value, string>();
  for (const { name: key, kind, value } of fn.params) {
    const inner = key.startsWith(`${name}.0.`) ? `w[f"{name}.${key.slice(name.length + 3)}"]` : outside.get(value)!;
    if (kind !== "input") given.set(value, inner);
  }
  const taken = new Set<string>();
  const named = (value: Value, otherwise: string): string => {
    const wish = value.name === undefined ? otherwise : identifier(value.name);
    let found = wish;
    for (let n = 2; taken.has(found); n++) found = `${wish}${n}`;
    taken.add(found);
    return found;
  };
  const entering = [...carried.map((c) => c.first), ...shared].map((value, i) => [value, named(value, `x${i + 1}`)] as const);
  for (const [value, text] of entering) given.set(value, text);
  const body = writeBody({ steps: fn.nodes.slice(start, start + length), given, results: carried.map((c) => c.made), lazy });
  const result = `return ${body.results.join(", ")}`;
  return [
    `def block(self, w, name, ${entering.map(([, text]) => text).join(", ")}):`,
    `    """One of the ${name}; its parameters are those that begin with \`name\`."""`,
    ...indent([...prelude([...body.lines, result], entering), ...body.lines, result]),
  ];
}

/** Optimizers of PyTorch number the parameters: those of a DiT come as in the official code, others as the model file has them. */
function officialOrder(params: readonly ParamDecl[], config: ExportedModel["config"]): readonly ParamDecl[] {
  const known = new Map(params.map((p) => [p.name, p]));
  const sized = (["hiddenSize", "depth", "patchSize", "inputSize"] as const).every((key) => typeof config[key] === "number");
  const order = sized ? officialParameters(config as unknown as Shaped).map(({ name }) => known.get(name)) : [];
  const whole = order.length === params.length && order.every((p) => p !== undefined);
  return whole ? (order as ParamDecl[]) : params;
}

/** Parameters with how they begin; those of the blocks in a loop. */
function declarations(params: readonly ParamDecl[], repeat: Repeat | undefined): string[] {
  const line = ({ type, init, trainable }: ParamDecl, key: string): string => {
    const shape = type.shape as readonly number[];
    const sizes = tuple(shape);
    const value = {
      zeros: () => `torch.zeros(${sizes})`,
      ones: () => `torch.ones(${sizes})`,
      normal: () => `normal(${sizes}, ${init.rule === "normal" ? init.std : 0})`,
      xavier_uniform: () => `uniform(${sizes}, math.sqrt(6 / ${init.rule === "xavier_uniform" ? init.fanIn + init.fanOut : 1}))`,
      table: () => tableText(init.rule === "table" ? init.data : new Float64Array(), shape, type.dtype),
    }[init.rule]();
    return `declare(self, ${key}, ${value}${trainable ? "" : ", trainable=False"})`;
  };
  const lines: string[] = [];
  let looped = false;
  for (const param of params) {
    const inBlocks = repeat !== undefined && param.name.startsWith(`${repeat.name}.`);
    if (!inBlocks) lines.push(line(param, JSON.stringify(param.name)));
    else if (!looped) {
      looped = true;
      const own = `${repeat.name}.0.`;
      lines.push(`for i in range(${repeat.count}):`);
      for (const each of params.filter((p) => p.name.startsWith(own))) {
        lines.push(`    ${line(each, `f"${repeat.name}.{i}.${each.name.slice(own.length)}"`)}`);
      }
    }
  }
  return lines;
}

/** Constants, which no checkpoint has. */
const buffers = ({ tables }: ExportedFn, fn: Fn): string[] =>
  fn.params
    .filter((p) => p.kind === "constant")
    .map(({ name, value: { type } }) => {
      const text = tableText(tables.get(name)!, type.shape as readonly number[], type.dtype);
      return `self.register_buffer("${identifier(name)}", ${text}, persistent=False)`;
    });

function lossClass(forward: ExportedFn, loss: ExportedFn): string[] {
  const results = loss.fn.results.filter((r) => !r.name.startsWith("grad."));
  const { steps, within } = called(forward.fn, loss.fn);
  const needed = live(
    steps,
    results.map((r) => r.value),
  );
  const nodes = needed.filter((step): step is Node => "op" in step);
  const seen: Fn = { ...loss.fn, nodes, results: [...results, ...within.map((value, i) => ({ name: `model.${i}`, value }))] };
  const own = ownNames(loss.fn);
  const given = new Map<Value, string>();
  for (const { name, kind, value } of loss.fn.params)
    given.set(value, kind === "constant" ? `self.${identifier(name)}` : own.get(value)!);
  const inputs = loss.fn.params.filter((p) => p.kind === "input");
  const body: Body = { steps: needed, given, results: results.map((r) => r.value), lazy: lazyValues(seen) };
  const { lines, results: texts } = writeBody(body);
  const read = new Set(nodes.flatMap((node) => node.inputs));
  const tables = { ...loss.fn, params: loss.fn.params.filter((p) => read.has(p.value)) };
  const ordered = inputs.map((p) => own.get(p.value)!);
  return [
    "class Losses(nn.Module):",
    '    """What training minimises, from the graph of the entry loss_and_grad. PyTorch takes the gradients."""',
    "",
    "    def __init__(self, model):",
    "        super().__init__()",
    "        self.model = model",
    ...indent(buffers(loss, tables), 8),
    "",
    `    def forward(self, ${TRAINED.every((name) => ordered.includes(name)) ? TRAINED.join(", ") : ordered.join(", ")}):`,
    `        """${signature(loss.fn)}"""`,
    ...indent(
      prelude(
        [...lines, ...texts],
        inputs.map((p) => [p.value, own.get(p.value)!]),
      ),
      8,
    ),
    ...indent(lines, 8),
    `        return {${results.map((r, i) => `${JSON.stringify(r.name)}: ${texts[i]}`).join(", ")}}`,
  ];
}

/** The nodes of the loss with those of the forward pass as one call: they were traced by the same function, one after the other. */
function called(forward: Fn, loss: Fn): { readonly steps: Step[]; readonly within: readonly Value[] } {
  const like = ({ op, attrs, loc }: Node): string => JSON.stringify([op, attrs, loc]);
  const wanted = forward.nodes.map(like);
  const found = loss.nodes.map(like);
  const at = found.findIndex((_, from) => wanted.every((text, i) => found[from + i] === text));
  if (at < 0) throw new InternalError("the loss does not hold the forward pass in one piece");
  const ours = new Map<Value, Value>();
  forward.nodes.forEach((node, i) => {
    const twin = loss.nodes[at + i]!;
    for (const [k, value] of node.inputs.entries()) ours.set(value, twin.inputs[k]!);
    for (const [k, value] of node.outputs.entries()) ours.set(value, twin.outputs[k]!);
  });
  const values = forward.params.filter((p) => p.kind === "input").map((p) => ours.get(p.value) ?? unread(p.name));
  const results = forward.results.map((r) => ours.get(r.value)!);
  const call: Call = {
    values,
    results,
    hints: forward.results.map((r) => r.name),
    line: (texts, names) =>
      names.length === 1
        ? [`${names[0]} = self.model(${texts.join(", ")})`]
        : [
            `found = self.model(${texts.join(", ")})`,
            ...names.map((name, i) => `${name} = found[${JSON.stringify(forward.results[i]!.name)}]`),
          ],
  };
  const rest = loss.nodes.slice(at + forward.nodes.length).filter((node) => node.op !== "gradient");
  return { steps: [...loss.nodes.slice(0, at), call, ...rest], within: values };
}

function unread(name: string): never {
  throw new InternalError(`the forward pass does not read its input "${name}"`);
}

/** Steps that the results stand on. */
function live(steps: readonly Step[], results: readonly Value[]): Step[] {
  const wanted = new Set(results);
  const kept: Step[] = [];
  for (const step of steps.toReversed()) {
    const outputs = "op" in step ? step.outputs : step.results;
    if (!outputs.some((v) => wanted.has(v))) continue;
    for (const value of "op" in step ? step.inputs : step.values) wanted.add(value);
    kept.unshift(step);
  }
  return kept;
}
