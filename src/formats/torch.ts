/**
 * Files of torch.save, since PyTorch 1.6: a zip archive of one pickle, which says what there is, and of one entry for each storage, the
 * raw numbers. Tensors come out as views that read their numbers when they are asked for, so that opening a file of gigabytes reads
 * its directory and its pickle. Source: dit-spec section 2.1; PyTorch's serialization notes.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { shown } from "../program/shown.js";
import { describe, Global, type Known, type Pickled, unpickle } from "./pickle.js";
import { bytesPerElement, elements, type SafetensorsDtype, type TensorData } from "./safetensors.js";
import type { Source } from "./source.js";
import type { TensorView } from "./tensor-view.js";
import { readZip, type ZipEntry } from "./zip.js";

/** PyTorch's types of storages that have a name in safetensors. */
const STORAGES: Readonly<Record<string, SafetensorsDtype>> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

/** The pickle of a training checkpoint of the largest model has 4 MB. */
const MOST_PICKLE = 2 ** 26;
const HELP = "the file is damaged, or was not written by torch.save: get it again";

/** argparse.Namespace: the options of a command line. */
export class Namespace {
  readonly fields = new Map<Pickled, Pickled>();
}

class Storage {
  readonly dtype: SafetensorsDtype;
  readonly entry: ZipEntry;
  readonly count: number;

  constructor(dtype: SafetensorsDtype, entry: ZipEntry, count: number) {
    this.dtype = dtype;
    this.entry = entry;
    this.count = count;
  }
}

/** A tensor of the file: a window, offset and strides, in a storage. */
export class TorchTensor implements TensorView {
  readonly shape: readonly number[];
  readonly #storage: Storage;
  readonly #offset: number;
  readonly #stride: readonly number[];

  constructor(storage: Storage, offset: number, shape: readonly number[], stride: readonly number[]) {
    this.#storage = storage;
    this.#offset = offset;
    this.shape = shape;
    this.#stride = stride;
  }

  get dtype(): SafetensorsDtype {
    return this.#storage.dtype;
  }

  async read(): Promise<TensorData> {
    const { entry, dtype } = this.#storage;
    const size = bytesPerElement(dtype);
    const last = lastElement(this.shape, this.#stride);
    const span = last < 0 ? new Uint8Array(0) : await entry.read(size * this.#offset, size * (this.#offset + last + 1));
    const stored = elements(dtype, span);
    return isRowMajor(this.shape, this.#stride) ? stored : gather(stored, this.shape, this.#stride);
  }
}

/** The place of the last element that strides reach, counted from the first; -1: there is none. */
const lastElement = (shape: readonly number[], stride: readonly number[]): number =>
  shape.includes(0) ? -1 : shape.reduce((at, size, axis) => at + (size - 1) * stride[axis]!, 0);

function isRowMajor(shape: readonly number[], stride: readonly number[]): boolean {
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && stride[axis] !== step) return false;
    step *= shape[axis]!;
  }
  return true;
}

/** The elements in row-major order. */
function gather(stored: TensorData, shape: readonly number[], stride: readonly number[]): TensorData {
  const count = shape.reduce((product, size) => product * size, 1);
  const all = new (stored.constructor as new (n: number) => TensorData)(count);
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < count; to++) {
    all[to] = stored[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += stride[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= stride[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return all;
}

/** What was given to torch.save. Errors: DIT4001, DIT4071 (the archive), DIT4072, DIT4073 (the pickle), DIT4074 (its tensors). */
export async function readTorch(source: Source): Promise<Pickled> {
  const entries = await readZip(source);
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) {
    fail("DIT4074", `${source.label}: it is a zip archive with ${pickles.length} entries data.pkl, expected one in one folder`, {
      notes: [`it has ${entries.size} entries${entries.size > 0 ? `, ${shown([...entries.keys()][0])} among them` : ""}`],
      help: "name a file that torch.save wrote, as it is: not unpacked and packed again in another way",
    });
  }
  const top = pickles[0]!.slice(0, -"data.pkl".length);
  const order = entries.get(`${top}byteorder`);
  if (order && order.size < 16 && new TextDecoder().decode(await order.read()).trim() === "big") {
    fail("DIT4074", `${source.label}: its numbers are big-endian, expected little-endian`, {
      help: "save it again on a machine of today, or with torch.serialization.set_default_load_endianness",
    });
  }
  const pickle = entries.get(pickles[0]!)!;
  if (pickle.size > MOST_PICKLE) {
    fail("DIT4074", `${source.label}: its pickle has ${pickle.size} bytes, at most ${MOST_PICKLE} are read`, { help: HELP });
  }
  return unpickle(await pickle.read(), {
    label: `${source.label}: ${pickles[0]}`,
    known,
    persistent: (id, refuse) => storageOf(id, (key) => entries.get(`${top}data/${key}`), refuse),
    build,
  });
}

type Refuse = (what: string) => never;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isCounts = (value: unknown): value is number[] => Array.isArray(value) && value.length <= 64 && value.every(isCount);

/** `('storage', torch.FloatStorage, key, device, count)`; the device is where it lay once. */
function storageOf(id: Pickled, entryOf: (key: string) => ZipEntry | undefined, refuse: Refuse): Storage {
  if (!Array.isArray(id) || id.length !== 5 || id[0] !== "storage")
    return refuse(`it refers to ${describe(id)}, expected a storage`);
  const [, type, key, , count] = id as readonly Pickled[];
  const dtype = type instanceof Global ? STORAGES[type.name.replace("torch ", "")] : undefined;
  if (!dtype) return refuse(`a storage is of type ${describe(type!)}, expected a type of storage`);
  if (typeof key !== "string") return refuse(`a storage has the key ${describe(key!)}, expected a text`);
  if (!isCount(count)) return refuse(`a storage claims ${describe(count!)} elements`);
  const entry = entryOf(key);
  if (!entry) return refuse(`storage ${shown(key)} is not in the archive`);
  const bytes = count * bytesPerElement(dtype);
  if (bytes !== entry.size)
    return refuse(`storage ${shown(key)} of ${count} ${dtype} needs ${bytes} bytes, and has ${entry.size}`);
  return new Storage(dtype, entry, count);
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks[, metadata])`. */
function tensorOf(args: readonly Pickled[], refuse: Refuse): TorchTensor {
  const [storage, offset, shape, stride] = args;
  if (args.length < 6 || args.length > 7) return refuse(`it has ${args.length} arguments, expected 6`);
  if (!(storage instanceof Storage)) return refuse(`its numbers are ${describe(storage!)}, expected a storage`);
  if (!isCount(offset)) return refuse(`its offset is ${describe(offset!)}, expected a whole number from 0`);
  if (!isCounts(shape))
    return refuse(`its size is ${Array.isArray(shape) ? shown(shape) : describe(shape!)}, expected whole numbers`);
  if (!isCounts(stride) || stride.length !== shape.length) {
    return refuse(
      `its stride is ${Array.isArray(stride) ? shown(stride) : describe(stride!)}, expected ${shape.length} whole numbers`,
    );
  }
  const count = shape.reduce((product, size) => product * size, 1);
  // One that repeats its elements (an expanded tensor) could ask for any amount of memory.
  if (count > storage.count) return refuse(`it has ${shape.join(" × ")} elements, and its storage ${storage.count}`);
  const last = lastElement(shape, stride);
  if (!(offset + last < storage.count)) {
    return refuse(`its last element is ${offset + last} of its storage, which has ${storage.count}`);
  }
  return new TorchTensor(storage, offset, [...shape], [...stride]);
}

/** `OrderedDict()`, or of pairs. */
function dictOf(args: readonly Pickled[], refuse: Refuse): Map<Pickled, Pickled> {
  const pairs = args.length === 0 ? [] : args[0];
  const fits = args.length <= 1 && Array.isArray(pairs) && pairs.every((pair) => Array.isArray(pair) && pair.length === 2);
  return fits ? new Map(pairs as [Pickled, Pickled][]) : refuse("it is made of something else than pairs");
}

/** All Python objects that a checkpoint may name. */
const known: ReadonlyMap<string, Known> = new Map<string, Known>([
  ["collections OrderedDict", { make: dictOf }],
  ["torch._utils _rebuild_tensor_v2", { make: tensorOf }],
  [
    "torch._utils _rebuild_parameter",
    { make: ([data], refuse) => (data instanceof TorchTensor ? data : refuse("it is made of something else than a tensor")) },
  ],
  ["torch Size", { make: ([sizes], refuse) => (isCounts(sizes) ? sizes : refuse("it is made of something else than sizes")) }],
  ["argparse Namespace", { make: (args, refuse) => (args.length === 0 ? new Namespace() : refuse("it has arguments")) }],
  ...Object.keys(STORAGES).map((name): [string, Known] => [`torch ${name}`, {}]),
]);

/** A namespace gets its fields; a state dict's attributes (versions of its modules) are of no use here. */
function build(object: Pickled, state: Pickled, refuse: Refuse): undefined {
  if (object instanceof Map) return undefined;
  if (!(object instanceof Namespace)) return refuse(`it sets the state of ${describe(object)}`);
  if (!(state instanceof Map)) return refuse(`a namespace's state is ${describe(state)}, expected a dict`);
  for (const [key, value] of state) object.fields.set(key, value);
}
