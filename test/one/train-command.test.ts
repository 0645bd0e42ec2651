/** `dit-compile train` and `sample` from a folder of idx files to a PNG, as the command line calls them. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { decode, encode } from "fast-png";
import { afterAll, beforeAll, expect, test } from "vitest";
import { register as registerSample, sampleCommand } from "../../src/cli/sample.js";
import { register as registerTrain, trainCommand } from "../../src/cli/train.js";
import { parseSafetensors } from "../../src/formats/safetensors.js";

const small = [
  ...["inputSize=4", "patchSize=2", "inChannels=1", "hiddenSize=16", "depth=1", "numHeads=2", "mlpRatio=2", "numClasses=3"],
  ...["learnSigma=false", "respacing=4", "guidance=2", "guidedChannels=1"],
];
const model = "models/dit.graph.ts";

let folder: string;
const said: string[] = [];
const io = { out: () => {}, err: (text: string) => said.push(text) };
const at = (name: string) => join(folder, name);

/** An idx file: big-endian sizes, then bytes. */
function idx(name: string, shape: number[], value: (i: number) => number): void {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.writeUInt32BE(0x800 + shape.length);
  shape.forEach((size, axis) => void header.writeUInt32BE(size, 4 + 4 * axis));
  const bytes = Buffer.from(Uint8Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => value(i)));
  writeFileSync(at(name), Buffer.concat([header, bytes]));
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "dit-command-"));
  for (const half of ["train", "t10k"]) {
    idx(`${half}-images-idx3-ubyte`, [12, 4, 4], (i) => (i * 37) % 256);
    idx(`${half}-labels-idx1-ubyte`, [12], (i) => i % 3);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("train, then sample from what it left, from its bundle, and from the model file", async () => {
  const trained = { data: folder, set: small, lr: "1e-3", steps: 3, batch: 4, sampleEvery: 2, sampleCount: 6, output: at("run") };
  await trainCommand(model, trained, io);
  const left = [
    "train.json",
    "loss.jsonl",
    "curve.png",
    "report.html",
    "weights.safetensors",
    "weights-raw.safetensors",
    "bundle/program.json",
  ];
  for (const name of [
    ...left,
    "checkpoints/step-00000003.safetensors",
    "samples/step-00000002.png",
    "samples/step-00000003.png",
  ]) {
    expect(existsSync(join(at("run"), name)), name).toBe(true);
  }
  expect(JSON.parse(readFileSync(join(at("run"), "train.json"), "utf8"))).toMatchObject({
    model,
    steps: 3,
    seed: 0,
    keepLast: 3,
  });
  expect(said.join("")).toMatch(/training DiT.* on .*\n(.*\n)*3 steps in .* s, last loss \d\.\d+; wrote /);
  const program = JSON.parse(readFileSync(join(at("run"), "bundle/program.json"), "utf8")) as {
    model: { config: Record<string, unknown> };
  };
  expect(program.model.config.learningRate).toBe(1e-3);

  // It goes on where it ended, with what it began with, and only when asked to.
  await expect(trainCommand(model, trained, io)).rejects.toThrow(/DIT4243: there is a run in .*run already\n {2}help: --resume/);
  said.length = 0;
  await trainCommand(undefined, { resume: true, steps: 5, output: at("run") }, io);
  expect(said.join("")).toMatch(/resumed from .*step-00000003.safetensors: step 3, 12 images seen\n(.*\n)*5 steps in /);

  const flags = { set: [], seed: 7, scale: 2, count: 5, class: [2, 0], preview: 2 };
  await sampleCommand(at("run"), { ...flags, output: at("grid.png") }, io);
  const picture = decode(readFileSync(at("grid.png")));
  // Two columns, three rows of 4 x 4 pixels, twice as large, with 2 pixels around.
  expect([picture.width, picture.height]).toEqual([2 * 10 + 2, 3 * 10 + 2]);

  const weights = join(at("run"), "weights.safetensors");
  await sampleCommand(join(at("run"), "bundle"), { ...flags, weights, output: at("a.safetensors") }, io);
  await sampleCommand(
    model,
    { ...flags, set: [...small, "learningRate=1e-3"], weights, batch: 2, output: at("b.safetensors") },
    io,
  );
  const read = (name: string) => parseSafetensors(readFileSync(at(name)), name).tensors;
  expect(read("a.safetensors").get("x")!.shape).toEqual([5, 1, 4, 4]);
  expect([...(read("a.safetensors").get("y")!.data as Int32Array)]).toEqual([2, 0, 2, 0, 2]);
  expect(read("a.safetensors").get("x")!.data).toEqual(read("b.safetensors").get("x")!.data);
  // Other settings than the run's: compiled anew from what the run says of itself.
  await sampleCommand(at("run"), { ...flags, guidance: "4", steps: 3, output: at("c.safetensors") }, io);
  expect(read("c.safetensors").get("x")!.data).not.toEqual(read("a.safetensors").get("x")!.data);
});

test("mistakes are named", async () => {
  const flags = { set: [], seed: 0, scale: 1 };
  await expect(sampleCommand(model, { ...flags, output: at("x.jpg") }, io)).rejects.toThrow(/DIT7001.*\.png or \.safetensors/);
  await expect(sampleCommand(model, { ...flags, output: at("x.png") }, io)).rejects.toThrow(
    /no weights to draw with[\s\S]*--weights/,
  );
  await expect(sampleCommand(join(at("run"), "bundle"), { ...flags, set: ["eta=1"], output: at("x.png") }, io)).rejects.toThrow(
    "compiled already",
  );
  const other = {
    ...flags,
    set: [...small, "hiddenSize=32"],
    weights: join(at("run"), "weights.safetensors"),
    output: at("x.png"),
  };
  await expect(sampleCommand(model, other, io)).rejects.toThrow(/DIT4206[\s\S]*expected f32 \[.*32.*\], found F32/);
  const training = { set: small, steps: 1, batch: 4, output: at("no") };
  await expect(trainCommand(model, { ...training, data: at("nowhere") }, io)).rejects.toThrow("DIT4060");
  await expect(trainCommand(undefined, { ...training, data: folder }, io)).rejects.toThrow(/DIT4240: .*"model"/);
  await expect(trainCommand(undefined, { resume: true, output: at("no") }, io)).rejects.toThrow(
    "DIT4242: there is no run to resume",
  );
  // Nothing was begun.
  expect(existsSync(at("no"))).toBe(false);
});

test("a folder of images: its attribution goes along, broken files are counted, and classes must fit", async () => {
  for (const [i, name] of ["cats", "dogs", "eels"].entries()) {
    mkdirSync(at(`pets/${name}`), { recursive: true });
    const data = Uint8Array.from({ length: 7 * 6 }, (_, k) => (40 * i + 5 * k) % 256);
    for (const file of ["one", "two"])
      writeFileSync(at(`pets/${name}/${file}.png`), encode({ width: 7, height: 6, data, channels: 1 }));
  }
  writeFileSync(at("pets/ATTRIBUTION.txt"), "drawn by someone\n");
  writeFileSync(at("pets/dogs/two.png"), "no image");
  const training = { data: at("pets"), set: small, steps: 2, batch: 6, sampleEvery: 0, output: at("pets-run") };
  said.length = 0;
  await trainCommand(model, { ...training, skipBroken: true }, io);
  expect(said.join("")).toMatch(
    /left out: .*pets\/dogs\/two\.png: it is no image[\s\S]*waited for images in \d.* %.*; left out 1 broken ones/,
  );
  expect(readFileSync(at("pets-run/ATTRIBUTION.txt"), "utf8")).toBe("drawn by someone\n");

  const broken = trainCommand(model, { ...training, output: at("pets-broken") }, io);
  await expect(broken).rejects.toThrow(/DIT4064: cannot read the image .*dogs\/two\.png[\s\S]*--skip-broken/);
  const few = trainCommand(model, { ...training, set: [...small, "numClasses=2"], output: at("no") }, io);
  await expect(few).rejects.toThrow(
    /DIT4042: .*pets has 3 classes, the model 2\n.*cats, dogs, eels\n {2}help: --set numClasses=3/,
  );
  for (const name of ["dogs", "eels"]) rmSync(at(`pets/${name}`), { recursive: true });
  const one = trainCommand(model, { ...training, output: at("no") }, io);
  await expect(one).rejects.toThrow(/DIT4042: .*pets has one class only, the model 3\n.*\n {2}help: --set numClasses=1/);
  expect(existsSync(at("no"))).toBe(false);
});

test("both commands register, and read their options", () => {
  const program = new Command().exitOverride();
  registerTrain(program, io);
  registerSample(program, io);
  expect(program.commands.map((command) => command.name())).toEqual(["train", "sample"]);
  expect(program.commands[0]!.helpInformation()).toMatch(/--data[\s\S]*--steps[\s\S]*--output/);
});
