/**
 * Damaged .pt files: ten thousand, each a small good training checkpoint with something done to it. With the checksums as they were, a
 * file is refused, or the damage is where nothing is read (a date, a comment) and every tensor is what it was. With checksums made anew,
 * which is what an attacker would do, it is refused or gives tensors that fit their shapes. Never a crash, a hang, or much memory.
 */
import { expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoints/open.js";
import { optimizerState } from "../../src/checkpoints/optimizer.js";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import { bytesSource } from "../../src/formats/source.js";
import { type Random, random } from "../random-numbers.js";
import { entriesOf, joined, Options, pickle, stateDict, storage, Tensor, Tuple, torchFile, zip } from "../torch-file.js";

const FILES = 10_000;
const floats = (count: number, from: number) =>
  storage(
    "F32",
    Float32Array.from({ length: count }, (_, i) => from + i),
  );
const shared = floats(24, 100);
const weights = (from: number) =>
  stateDict({
    "fc.weight": new Tensor(floats(12, from), [3, 4]),
    "fc.bias": new Tensor(shared, [3], 5),
    turned: new Tensor(shared, [4, 6], 0, [1, 4]),
    half: new Tensor(storage("F16", Uint16Array.of(0x3c00, 0xc000, 0, 1)), [4]),
    scalar: new Tensor(floats(1, from), []),
  });
const moments = (count: number, shape: readonly number[]) => ({
  step: new Tensor(floats(1, 3), []),
  exp_avg: new Tensor(floats(count, 1), shape),
  exp_avg_sq: new Tensor(floats(count, 2), shape),
});
const root = {
  model: weights(1),
  ema: weights(2),
  opt: {
    state: { 0: moments(12, [3, 4]), 1: moments(3, [3]), 3: moments(4, [4]) },
    param_groups: [{ lr: 1e-4, betas: new Tuple(0.9, 0.999), params: [0, 1, 2, 3, 4] }],
  },
  args: new Options({ model: "DiT-S/2", num_classes: 10, seed: 2 ** 40 }),
};
const good = [joined(torchFile(root)), joined(torchFile(root, { zip64: true }))];
const { bytes: goodPickle, storages } = pickle(root);
const directory = good.map((file) => Buffer.from(file).indexOf("PK\x01\x02"));

const flip = (bytes: Uint8Array, r: Random, most: number, from = 0): Uint8Array => {
  const file = bytes.slice();
  for (let k = 0; k <= r.below(most); k++) file[from + r.below(file.length - from)]! ^= 1 << r.below(8);
  return file;
};
/** The file of another pickle, with the right checksums. */
const repacked = (bytes: Uint8Array): Uint8Array => joined(zip(entriesOf(bytes as Uint8Array<ArrayBuffer>, storages)));
const of = (texts: readonly string[]) => (bytes: Uint8Array, r: Random, by: readonly string[]) => {
  // Bytes as Latin-1, so that texts of the pickle can be found; all places or one.
  const text = Buffer.from(bytes).toString("latin1");
  const found = r.of(texts);
  return new Uint8Array(Buffer.from(r.below(2) ? text.replaceAll(found, r.of(by)) : text.replace(found, r.of(by)), "latin1"));
};

/** One thing after another that can be wrong. */
const stale: Readonly<Record<string, (r: Random) => Uint8Array>> = {
  truncated: (r) => r.of(good).slice(0, r.below(good[0]!.length)),
  "bits anywhere": (r) => flip(r.of(good), r, 8),
  "bits of the directory": (r) => {
    const which = r.below(2);
    return flip(good[which]!, r, 4, directory[which]!);
  },
  "pieces moved": (r) => {
    const file = r.of(good).slice();
    return file.copyWithin(r.below(file.length), r.below(file.length), r.below(file.length));
  },
  "bytes at the end": (r) => {
    const file = r.of(good);
    const longer = new Uint8Array(file.length + 1 + r.below(9));
    longer.set(file);
    return longer;
  },
  "numbers of the directory": (r) => {
    const which = r.below(2);
    const file = good[which]!.slice();
    const at = directory[which]! + r.below(file.length - directory[which]! - 8);
    new DataView(file.buffer).setUint32(at, r.of([0, 1, 0xff, 0xffff, 0x7fffffff, 0xffffffff, file.length]), true);
    return file;
  },
};
const renewed: Readonly<Record<string, (r: Random) => Uint8Array>> = {
  "bits of the pickle": (r) => repacked(flip(goodPickle, r, 3)),
  "other opcodes": (r) => {
    const bytes = goodPickle.slice();
    for (let k = 0; k <= r.below(3); k++) {
      bytes[r.below(bytes.length)] = r.of([
        ...Buffer.from("(.0122NJKMGXUU])}taesuqrhjcRbQ\x80\x81\x85\x86\x87\x88\x89\x8a", "latin1"),
      ]);
    }
    return repacked(bytes);
  },
  "a pickle cut short": (r) => repacked(Uint8Array.of(...goodPickle.subarray(0, r.below(goodPickle.length)), 0x2e)),
  "pieces of the pickle moved": (r) => {
    const n = goodPickle.length;
    return repacked(goodPickle.slice().copyWithin(r.below(n), r.below(n), r.below(n)));
  },
  "other names": (r) =>
    repacked(
      of(["collections", "OrderedDict", "torch._utils", "_rebuild_tensor_v2", "FloatStorage", "Namespace", "argparse"])(
        goodPickle,
        r,
        ["os", "system", "__proto__", "constructor", "", "IntStorage", "FloatStorage"],
      ),
    ),
  "endless values": (r) => {
    const bytes = new Uint8Array(2 + r.below(20_000)).fill(r.of([0x28, 0x29, 0x5d, 0x7d, 0x32, 0x4e]));
    bytes.set([0x80, 2, 0x7d]);
    return repacked(bytes);
  },
  // Each list holds the one before it ten times: as long as nobody follows it, it is small.
  "lists of lists of lists": (r) => {
    const bytes = [0x80, 2, 0x7d, 0x58, 1, 0, 0, 0, 0x61, 0x5d, 0x71, 0];
    for (let i = 0; i < 100; i++)
      bytes.push(0x5d, 0x28, ...Array.from({ length: 10 }, () => [0x68, i]).flat(), 0x65, 0x71, i + 1);
    bytes.push(...r.of([[0x73, 0x2e], [0x2e], [0x52, 0x2e], [0x51, 0x2e], [0x62, 0x2e]]));
    return repacked(Uint8Array.from(bytes));
  },
  "storages that are too short": (r) => {
    const less = storages.map((s) => (r.below(4) ? s : { ...s, data: () => s.data().slice(0, r.below(s.count)) }));
    return joined(zip(entriesOf(goodPickle, less)));
  },
  "entries that are missing": (r) => joined(zip(entriesOf(goodPickle, storages).filter(() => r.below(8) > 0))),
};

/** All tensors, by part and name, or the error. */
async function outcome(file: Uint8Array): Promise<{ tensors: Map<string, string> } | { code: string; text: string }> {
  try {
    const checkpoint = await openCheckpoint(bytesSource(file, "x.pt"));
    const tensors = new Map<string, string>();
    const note = async (name: string, view: { shape: readonly number[]; read(): Promise<ArrayLike<unknown>> }) => {
      const data = await view.read();
      expect(data.length, name).toBe(view.shape.reduce((a, b) => a * b, 1));
      tensors.set(name, String(data));
    };
    for (const [part, views] of checkpoint.parts) for (const [name, view] of views) await note(`${part} ${name}`, view);
    for (const [name, { m, v }] of (await optimizerState(checkpoint))?.moments ?? []) {
      await note(`m ${name}`, m);
      await note(`v ${name}`, v);
    }
    return { tensors };
  } catch (error) {
    if (!(error instanceof DitError)) throw error;
    return { code: error.diagnostics[0]!.code, text: error.message };
  }
}

test("ten thousand damaged files: typed errors, in little time and memory", { timeout: 240_000 }, async () => {
  const whole = await outcome(good[0]!);
  expect(await outcome(good[1]!)).toEqual(whole);
  expect("tensors" in whole && whole.tensors.size).toBe(5 + 5 + 6);
  const kinds = [...Object.entries(stale), ...Object.entries(renewed)];
  const refused = new Map<string, number>();
  const codes = new Set<string>();
  const before = process.memoryUsage.rss();
  let most = before;
  let slowest = 0;
  for (let i = 0; i < FILES; i++) {
    const r = random(i);
    const [kind, make] = kinds[i % kinds.length]!;
    const file = make(r);
    const started = performance.now();
    const found = await outcome(file);
    slowest = Math.max(slowest, performance.now() - started);
    if (i % 16 === 0) most = Math.max(most, process.memoryUsage.rss());
    if ("code" in found) {
      codes.add(found.code);
      refused.set(kind, (refused.get(kind) ?? 0) + 1);
      expect(found.text, kind).toContain("x.pt");
      expect(found.text.length, kind).toBeLessThan(1500);
    } else if (kind in stale) expect(found, `${i} ${kind}`).toEqual(whole);
  }
  expect([...codes].sort()).toEqual(["DIT4070", "DIT4071", "DIT4072", "DIT4073", "DIT4074", "DIT4075", "DIT4078"]);
  // Every kind does damage: else it tests nothing.
  for (const [kind] of kinds) expect(refused.get(kind) ?? 0, kind).toBeGreaterThan(FILES / kinds.length / 4);
  expect(most - before).toBeLessThan(2 ** 29);
  expect(slowest).toBeLessThan(2000);
});
