/**
 * A checkpoint of any kind that is read, as named parts of tensors: a bare state dict has one part, a training checkpoint the model and
 * its average. What kind a file is, its bytes say, not its name. Nothing but its directory is read; see Source for where it may lie.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { describe, type Pickled } from "../formats/pickle.js";
import { CHECKPOINT_FORMAT } from "../formats/safetensors.js";
import type { Source } from "../formats/source.js";
import { readSafetensorsViews, type TensorView } from "../formats/tensor-view.js";
import { Namespace, readTorch, TorchTensor } from "../formats/torch.js";
import { shown } from "../program/shown.js";

export type Tensors = ReadonlyMap<string, TensorView>;

export interface Checkpoint {
  readonly label: string;
  /** PyTorch's archive, or safetensors. */
  readonly container: "torch" | "safetensors";
  /** "weights" of a bare file; "model" and "ema" of a training checkpoint; in PyTorch's files any name. In the order of the file. */
  readonly parts: ReadonlyMap<string, Tensors>;
  /** Of the optimizer, unread: PyTorch's dict, or the tensors m.*, v.* and step of this program's own checkpoint. */
  readonly optimizer?: { readonly torch: Pickled } | { readonly own: Tensors };
  /** The options of the training's command line. */
  readonly args: ReadonlyMap<string, unknown>;
  /** Texts that a safetensors file says of itself. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Errors: DIT4070 (no such file), DIT4075 (it holds something else than tensors), and those of its container. */
export async function openCheckpoint(source: Source): Promise<Checkpoint> {
  const first = await source.read(0, Math.min(source.size, 16));
  const starts = (...bytes: readonly number[]) => bytes.every((byte, i) => first[i] === byte);
  if (starts(0x50, 0x4b, 3, 4)) return ofTorch(source.label, await readTorch(source));
  if (starts(0x50, 0x4b, 5, 6)) fail("DIT4070", `${source.label} is an empty archive`, { help: "get the file again" });
  // 8 bytes of length, and JSON.
  if (first.length > 8 && first[8] === 0x7b) return ofSafetensors(source);
  if (starts(0x80, 0x02) || starts(0x80, 0x03) || starts(0x80, 0x04)) {
    fail("DIT4070", `${source.label} is a bare pickle, expected PyTorch's zip archive or safetensors`, {
      notes: ["PyTorch wrote such files before version 1.6"],
      help: "load it with PyTorch and save it again: torch.save(torch.load(FILE), NEW)",
    });
  }
  return fail("DIT4070", `${source.label} is no checkpoint: expected PyTorch's zip archive or safetensors`, {
    notes: [
      source.size === 0
        ? "it is empty"
        : `it begins with the bytes ${[...first.slice(0, 8)].map((b) => b.toString(16).padStart(2, "0")).join(" ")}`,
    ],
    help: "name a file that torch.save, diffusers or dit-compile wrote; a download may have ended early, or be a page that says why it failed",
  });
}

async function ofSafetensors(source: Source): Promise<Checkpoint> {
  const { views, metadata } = await readSafetensorsViews(source);
  const common = { label: source.label, container: "safetensors", args: new Map(), metadata } as const;
  if (metadata.get("format") !== CHECKPOINT_FORMAT) return { ...common, parts: new Map([["weights", views]]) };
  const named = (prefix: string) =>
    new Map([...views].flatMap(([name, view]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), view] as const] : [])));
  const model = named("p.");
  // What is not trained has no average and is the same in both.
  const ema = new Map([...model, ...named("ema.")]);
  const own = new Map([...views].filter(([name]) => /^[mv]\.|^step$/.test(name)));
  return {
    ...common,
    parts: new Map([
      ["model", model],
      ["ema", ema],
    ]),
    optimizer: { own },
  };
}

function ofTorch(label: string, root: Pickled): Checkpoint {
  const common = { label, container: "torch", metadata: new Map() } as const;
  const bare = tensorsOf(root);
  if (bare) return { ...common, parts: new Map([["weights", bare]]), args: new Map() };
  const parts = new Map<string, Tensors>();
  for (const [key, value] of root instanceof Map ? root : []) {
    const tensors = tensorsOf(value);
    if (typeof key === "string" && tensors) parts.set(key, tensors);
  }
  if (!(root instanceof Map) || parts.size === 0) {
    fail("DIT4075", `${label} holds ${describe(root)}, expected tensors by name, or the parts model and ema of a training`, {
      notes: root instanceof Map ? [`its keys are ${shown([...root.keys()].slice(0, 8).map(describe))}`] : [],
      help: "save the state dict: torch.save(model.state_dict(), FILE)",
    });
  }
  const args = root.get("args");
  const opt = root.get("opt");
  return {
    ...common,
    parts,
    ...(opt instanceof Map ? { optimizer: { torch: opt as Pickled } } : {}),
    args: args instanceof Namespace ? (args.fields as ReadonlyMap<string, unknown>) : new Map(),
  };
}

/** A state dict: names, and a tensor each. */
function tensorsOf(value: Pickled): Tensors | undefined {
  if (!(value instanceof Map) || value.size === 0) return undefined;
  for (const [name, tensor] of value) if (typeof name !== "string" || !(tensor instanceof TorchTensor)) return undefined;
  return value as Map<string, TorchTensor>;
}
