// PyTorch, on a CUDA device where there is one, else on the CPU, in a Python process that is spoken to by lines. Where no python3 can import torch, its last word says so.
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

export async function forward(task) {
  const { ask, version, where } = await start(task);
  const file = join(task.folder, "torch.bin");
  const run = async () => {
    await ask(`run ${file}`);
    return floats(readFileSync(file));
  };
  return { run, version, where };
}

export async function train(task) {
  const { ask, version, where, names } = await start(task);
  const gradients = async () => {
    const file = join(task.folder, "torch.bin");
    await ask(`gradients ${file}`);
    const all = floats(readFileSync(file));
    let place = 0;
    return new Map(
      names.map((name) => {
        const { length } = task.weights.get(name).data;
        place += length;
        return [name, all.subarray(place - length, place)];
      }),
    );
  };
  return { step: async () => (await ask("step")).loss, gradients, version, where };
}

const floats = ({ buffer, byteOffset, byteLength }) => new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));

/** The first python3 that has torch: Debian's package is the system's own, which may not be the first on PATH. */
const python = () =>
  ["python3", "/usr/bin/python3"].find((command) => spawnSync(command, ["-c", "import torch"]).status === 0) ?? "python3";

/** { ask(line), and what the process says of itself: version, where it works, names of the trained weights }. */
async function start({ folder }) {
  const script = join(import.meta.dirname, "torch_dit.py");
  const child = spawn(python(), [script, folder], { stdio: ["pipe", "pipe", "pipe"] });
  // A process that has ended takes no more lines; that it ended is said by `answer`.
  child.stdin.on("error", () => {});
  const complaints = [];
  createInterface({ input: child.stderr }).on("line", (line) => complaints.push(line));
  const lines = createInterface({ input: child.stdout });
  const answer = () =>
    new Promise((resolve, reject) => {
      const ended = () => reject(new Error(complaints.at(-1) ?? "python3 ended without a word"));
      child.once("error", reject);
      child.once("close", ended);
      lines.once("line", (line) => {
        child.off("error", reject);
        child.off("close", ended);
        resolve(JSON.parse(line));
      });
    });
  const about = await answer();
  const ask = (line) => {
    child.stdin.write(`${line}\n`);
    return answer();
  };
  return { ...about, ask };
}
