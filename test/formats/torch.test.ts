/** Files of torch.save: what is read, and what is refused, with the reason and the place. */
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoints/open.js";
import { crc32 } from "../../src/formats/crc32.js";
import { blobSource, bytesSource } from "../../src/formats/source.js";
import type { TensorView } from "../../src/formats/tensor-view.js";
import { entriesOf, joined, Options, pickle, stateDict, storage, Tensor, Tuple, torchFile, zip } from "../torch-file.js";

const numbers = storage(
  "F32",
  Float32Array.from({ length: 12 }, (_, i) => i),
);
const open = (bytes: Uint8Array) => openCheckpoint(bytesSource(bytes, "x.pt"));
const saved = (root: unknown, options = {}) => open(joined(torchFile(root, options)));
async function read(part: ReadonlyMap<string, TensorView>) {
  const all: Record<string, unknown> = {};
  for (const [name, view] of part) all[name] = [view.dtype, [...view.shape], [...(await view.read())].map(Number)];
  return all;
}
const refusal = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "it was read",
    (error: Error) => error.message,
  );
/** A file whose pickle is these bytes. */
const withPickle = (...bytes: readonly number[]) => joined(zip(entriesOf(Uint8Array.from(bytes), [numbers])));
const ascii = (text: string) => [...new TextEncoder().encode(text)];

test("crc-32 of known texts, whole and in parts", () => {
  const text = new TextEncoder().encode("The quick brown fox jumps over the lazy dog");
  expect(crc32(text)).toBe(0x414fa339);
  expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  for (let cut = 0; cut <= text.length; cut++) expect(crc32(text.subarray(cut), crc32(text.subarray(0, cut)))).toBe(0x414fa339);
});

test.each([{ zip64: false }, { zip64: true }])("windows, strides, shared storages, halves and scalars: %o", async (options) => {
  const tensors = stateDict({
    whole: new Tensor(numbers, [3, 4]),
    rows: new Tensor(numbers, [1, 4], 4),
    turned: new Tensor(numbers, [4, 3], 0, [1, 4]),
    column: new Tensor(numbers, [3], 2, [4]),
    half: new Tensor(storage("F16", Uint16Array.of(0x3c00, 0xc000)), [2]),
    long: new Tensor(storage("I64", BigInt64Array.of(7n)), []),
    none: new Tensor(storage("F32", new Float32Array(0)), [0, 4]),
  });
  const { parts } = await saved(tensors, options);
  expect(await read(parts.get("weights")!)).toEqual({
    whole: ["F32", [3, 4], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]],
    rows: ["F32", [1, 4], [4, 5, 6, 7]],
    turned: ["F32", [4, 3], [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]],
    column: ["F32", [3], [2, 6, 10]],
    half: ["F16", [2], [0x3c00, 0xc000]],
    long: ["I64", [], [7]],
    none: ["F32", [0, 4], []],
  });
});

test("a training: its parts, its optimizer, its options", async () => {
  const model = stateDict({ w: new Tensor(numbers, [12]) });
  const args = new Options({ lr: 1e-4, big: 2 ** 40, less: -5, name: "DiT", none: null, on: true, list: [1, new Tuple(2, "x")] });
  const found = await saved({ model, ema: model, opt: { state: { 0: { step: 3 } }, param_groups: [{ params: [0] }] }, args });
  expect([...found.parts.keys()]).toEqual(["model", "ema"]);
  expect(Object.fromEntries(found.args)).toEqual({
    lr: 1e-4,
    big: 2 ** 40,
    less: -5,
    name: "DiT",
    none: null,
    on: true,
    list: [1, [2, "x"]],
  });
  const opt = {
    torch: new Map<string, unknown>([
      ["state", new Map([[0, new Map([["step", 3]])]])],
      ["param_groups", [new Map([["params", [0]]])]],
    ]),
  };
  expect(found.optimizer).toEqual(opt);
});

test("a File of a page gives the same as the file on a disk", async () => {
  const bytes = readFileSync("test/golden/tiny-bare.pt");
  const [one, two] = [await open(bytes), await openCheckpoint(blobSource(new File([bytes], "tiny.pt")))];
  expect(two.label).toBe("tiny.pt");
  expect(await read(two.parts.get("weights")!)).toEqual(await read(one.parts.get("weights")!));
});

test("nothing of a pickle is executed: other Python objects are refused by name, with the byte", async () => {
  const marker = join(tmpdir(), `dit-pickle-${process.pid}`);
  rmSync(marker, { force: true });
  // What `pickle.loads` would run: os.system("touch …").
  const command = ascii(`touch ${marker}`);
  const evil = withPickle(
    0x80,
    2,
    0x63,
    ...ascii("posix\nsystem\n"),
    0x58,
    command.length,
    0,
    0,
    0,
    ...command,
    0x85,
    0x52,
    0x2e,
  );
  const text = await refusal(open(evil));
  expect(text).toContain('error DIT4073: x.pt: archive/data.pkl, byte 2: it asks for the Python object "posix.system"');
  expect(text).toContain("known are collections.OrderedDict, torch._utils._rebuild_tensor_v2");
  for (const [module, name] of [
    ["builtins", "eval"],
    ["torch._utils", "_rebuild_tensor"],
    ["collections", "OrderedDict.__init__"],
    ["__main__", "Model"],
    ["constructor", "constructor"],
  ]) {
    expect(await refusal(open(withPickle(0x80, 2, 0x63, ...ascii(`${module}\n${name}\n`), 0x2e)))).toContain(
      `"${module}.${name}"`,
    );
  }
  expect(() => readFileSync(marker)).toThrow(/ENOENT/);
  // A type of storage is known by name and still cannot be called.
  expect(await refusal(open(withPickle(0x80, 2, 0x63, ...ascii("torch\nFloatStorage\n"), 0x29, 0x52, 0x2e)))).toMatch(
    /DIT4072.*byte 23: it calls torch.FloatStorage/,
  );
});

test.each([
  ["another protocol", [0x80, 4, 0x4e, 0x2e], "DIT4072.*protocol 4"],
  ["an opcode of protocol 0", [0x80, 2, 0x69, 0x2e], "DIT4072.*byte 2: opcode 0x69"],
  ["a text that is longer than the file", [0x80, 2, 0x58, 255, 255, 255, 127, 0x2e], "DIT4072.*needs 2147483647 bytes"],
  ["an empty stack", [0x80, 2, 0x2e], "DIT4072.*empty stack"],
  ["no mark", [0x80, 2, 0x74, 0x2e], "DIT4072.*looks for a mark"],
  ["an empty slot", [0x80, 2, 0x68, 9, 0x2e], "DIT4072.*slot 9"],
  ["no end", [0x80, 2, 0x4e], "DIT4072.*needs 1 bytes"],
  ["something after the end", [0x80, 2, 0x4e, 0x2e, 0x4e], "DIT4072.*1 bytes follow"],
  ["a number", [0x80, 2, 0x4b, 7, 0x2e], "DIT4075.*holds 7"],
  ["a dict that holds itself", [0x80, 2, 0x7d, 0x71, 0, 0x4b, 1, 0x68, 0, 0x73, 0x2e], "DIT4075.*a dict of 1"],
])("a pickle with %s", async (_, bytes, said) => {
  expect(await refusal(open(withPickle(...bytes)))).toMatch(new RegExp(said));
});

test("a pickle without end is given up", async () => {
  const many = new Uint8Array(1_500_000).fill(0x7d);
  many.set([0x80, 2]);
  expect(await refusal(open(joined(zip(entriesOf(many, [])))))).toMatch(/DIT4072.*more than 1000000 instructions/);
});

test.each([
  ["beyond its storage", new Tensor(numbers, [4], 9), "DIT4072.*last element is 12 of its storage, which has 12"],
  ["expanded", new Tensor(numbers, [2 ** 20, 2 ** 10], 0, [0, 0]), "DIT4072.*1048576 × 1024 elements, and its storage 12"],
  ["with other strides", new Tensor(numbers, [3, 4], 0, [4]), "DIT4072.*stride is \\[4\\], expected 2"],
  ["with a negative offset", new Tensor(numbers, [3], -1), "DIT4072.*offset is -1"],
  ["in a storage of another size", new Tensor({ ...numbers, count: 13 }, [13]), "DIT4072.*needs 52 bytes, and has 48"],
])("a tensor %s", async (_, tensor, said) => {
  expect(await refusal(saved(stateDict({ tensor })))).toMatch(new RegExp(said));
});

test("archives that are damaged, compressed, or of something else", async () => {
  const good = joined(torchFile(stateDict({ w: new Tensor(numbers, [12]) })));
  const changed = (at: number, byte: number) => good.map((b, i) => (i === at ? byte : b));
  const find = (text: string, from = 0) => Buffer.from(good).indexOf(text, from);
  // The byte of a number: its checksum is of other bytes.
  const name = find("archive/data/0");
  const damaged = await open(changed(Math.ceil((name + 14 + 4) / 64) * 64 + 5, 99));
  await expect(damaged.parts.get("weights")!.get("w")!.read()).rejects.toThrow(/DIT4071.*"archive\/data\/0" is damaged/);
  expect(await refusal(open(good.subarray(0, good.length - 5)))).toMatch(/DIT4071.*no directory at its end/);
  const record = find("PK\x01\x02");
  expect(await refusal(open(changed(record + 10, 8)))).toMatch(/DIT4071.*compressed \(method 8\)/);
  expect(await refusal(open(changed(record + 8, 1)))).toMatch(/DIT4071.*encrypted/);
  const { bytes } = pickle(stateDict({ w: new Tensor(numbers, [12]) }));
  expect(await refusal(open(joined(zip(entriesOf(bytes, [])))))).toMatch(/DIT4072.*storage "0" is not in the archive/);
  expect(
    await refusal(
      open(
        joined(
          zip([
            ["a/data.pkl", () => bytes],
            ["b/data.pkl", () => bytes],
          ]),
        ),
      ),
    ),
  ).toMatch(/DIT4074.*2 entries/);
  expect(await refusal(open(new TextEncoder().encode("<!DOCTYPE html>")))).toMatch(/DIT4070.*no checkpoint/);
  expect(await refusal(open(Uint8Array.of(0x80, 2, 0x8a, 10)))).toMatch(/DIT4070.*bare pickle/);
  expect(await refusal(open(new Uint8Array(0)))).toMatch(/DIT4070/);
});
