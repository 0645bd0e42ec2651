// DiTs at their full size through the command line, each command in a process of its own, beside what the plan says.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { makeForwardInputs, makeLatents, makeWeights } from "./full-size-data.mjs";

/** What a process may take beside what the plan says: Node, the driver, the compiler of its kernels, and what is read back. */
export const BESIDE = 600e6;
const MODEL = "models/dit.graph.ts";
const GUIDED = ["--set", "sampler=ddim", "--set", "respacing=ddim4", "--set", "guidance=4"];
const CHECK = ["--check", "sampled"];

/**
 * The works. `make` prepares files that a person has (weights, data); `commands` are what is shown in docs/full-size.md: those that compile,
 * and the last, which is measured. `plan` says which bundle, entries and batch its memory is planned for.
 */
export const works = {
  forward: {
    what: "DiT-XL/2, 256 px, one forward for 2 images with guidance (batch 4)",
    make: async (from, at) => {
      await weights(from, at, "DiT-XL/2");
      await makeForwardInputs(from, at("forward-32.safetensors"), { side: 32, channels: 4, classes: 1000, images: 2 });
    },
    commands: (at) => [
      [MODEL, "--preset", "DiT-XL/2", "-b", "4", "-e", "forward", "-o", at("xl-forward")],
      ["run", at("xl-forward"), "-e", "forward", "-w", at("DiT-XL-2.safetensors"), "-i", at("forward-32.safetensors")],
    ],
    output: "xl-forward.safetensors",
    plan: { bundle: "xl-forward", entries: ["forward"], batch: 4 },
  },
  sample: {
    what: "DiT-XL/2, 256 px, 4 steps of DDIM for 2 images with guidance 4",
    make: (from, at) => weights(from, at, "DiT-XL/2"),
    commands: (at) => [
      [MODEL, "--preset", "DiT-XL/2", "-b", "2", "-e", "sample", ...GUIDED, "-o", at("xl-sample")],
      ["sample", at("xl-sample"), "-w", at("DiT-XL-2.safetensors"), "--class", "207,360"],
    ],
    output: "xl-latents.safetensors",
    plan: { bundle: "xl-sample", entries: ["sample"], batch: 2 },
  },
  forward512: {
    what: "DiT-XL/2, 512 px, one forward for one image (batch 1), --target minimum",
    make: async (from, at) => {
      await weights(from, at, "DiT-XL/2-512");
      await makeForwardInputs(from, at("forward-64.safetensors"), {
        side: 64,
        channels: 4,
        classes: 1000,
        images: 1,
        guided: false,
      });
    },
    commands: (at) => [
      [MODEL, "--preset", "DiT-XL/2-512", "-b", "1", "-e", "forward", "--target", "minimum", "-o", at("xl-512")],
      ["run", at("xl-512"), "-e", "forward", "-w", at("DiT-XL-2-512.safetensors"), "-i", at("forward-64.safetensors")],
    ],
    output: "xl-512.safetensors",
    plan: { bundle: "xl-512", entries: ["forward"], batch: 1 },
  },
  trainS: training("DiT-S/2", 32, 8),
  trainB: training("DiT-B/4", 32, 8),
};

function training(preset, side, batch) {
  const name = preset.replace("/", "-");
  return {
    what: `${preset}, 256 px, two training steps at batch ${batch}`,
    make: async (from, at) => {
      rmSync(at(`train-${name}`), { recursive: true, force: true });
      // A trained model's weights: in a fresh one most gradients are 0.
      await weights(from, at, preset);
      await makeLatents(from, at("latents.safetensors"), { count: 64, side, channels: 4, classes: 1000 });
    },
    commands: (at) => [
      [
        ...["train", MODEL, "--preset", preset, "--data", at("latents.safetensors"), "-w", at(`${name}.safetensors`)],
        ...["-b", String(batch), "--steps", "2", "--log-every", "1", "--sample-every", "0"],
      ],
    ],
    output: `train-${name}`,
    plan: { bundle: `train-${name}/bundle`, entries: ["train_step"], batch },
  };
}

const weights = (from, at, preset) => makeWeights(from, at(`${preset.replace("/", "-")}.safetensors`), preset, 1);

/** Does a work in `folder`; gives what its last command said, its peak and its plan. `say` gets lines for people. */
export async function fullSize(from, { root, folder, work, driver, say }) {
  mkdirSync(folder, { recursive: true });
  const at = (name) => relative(root, join(folder, name));
  const { what, make, commands, output, plan } = works[work];
  say(`${what}: making weights and inputs`);
  await make(from, at);
  const all = commands(at);
  for (const command of all.slice(0, -1)) await dit(root, folder, command, say);
  const adapter = driver ? ["--driver", driver] : [];
  const last = [...all.at(-1), ...CHECK, "-o", at(output), ...adapter];
  const { peak, json, seconds } = await dit(root, folder, [...last, "--json"], say);
  const shown = [...all.slice(0, -1), last].map((command) => `npx dit-compile ${command.join(" ")}`);
  return { work, what, commands: shown, check: json.check, loss: json.loss, seconds, peak, plan: await planned(from, at, plan) };
}

/** Bytes of GPU memory that the session takes. */
async function planned(from, at, { bundle, entries, batch }) {
  const [{ readBundle }, { memoryPlan }, { pack }] = await Promise.all(
    ["node/read-bundle.js", "program/memory.js", "program/pack.js"].map(from),
  );
  const { program } = await readBundle(at(bundle));
  return memoryPlan(program, pack(program, batch, { entries })).total;
}

/** A command in a process of its own: what it printed as JSON, and the most memory that its process had. */
function dit(root, folder, command, say) {
  const log = join(folder, "peak.txt");
  rmSync(log, { force: true });
  say(`dit-compile ${command.join(" ")}`);
  const began = performance.now();
  const peakOf = pathToFileURL(join(root, "bench/peak.mjs")).href;
  const child = spawn(process.execPath, ["--import", peakOf, join(root, "dist/cli/main.js"), ...command], {
    cwd: root,
    env: { ...process.env, DIT_PEAK: log },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  child.stdout.on("data", (text) => {
    out += text;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      if (code !== 0) return reject(new Error(`dit-compile ${command.join(" ")} ended with ${code}\n${out.slice(0, 4000)}`));
      // The driver's search may have started it again: both have written.
      const peaks = readFileSync(log, "utf8").trim().split("\n").map(Number);
      const json = command.includes("--json") ? JSON.parse(out) : undefined;
      resolve({ json, peak: Math.max(...peaks), seconds: (performance.now() - began) / 1000 });
    });
  });
}
