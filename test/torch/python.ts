/**
 * A Python that has torch: the system's own (Debian's python3-torch), the one of DIT_TORCH_PYTHON, or the packages that
 * `npm run test:torch` has unpacked into the cache folder.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { unpackDebian } from "../../src/runtime/node/apt.js";
import { cacheFolder, fillOnce } from "../../src/runtime/node/cache.js";

export interface Python {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
}

const folder = process.env.DIT_TORCH_ROOT ?? join(cacheFolder(), "torch");
const whole = (at: string): boolean => existsSync(join(at, "usr/lib/python3/dist-packages/torch"));

/** Python of the system with packages of the folder, which were made for it. */
function unpacked(): Python {
  const usr = join(folder, "usr/lib");
  const libraries = ["x86_64-linux-gnu/blas", "x86_64-linux-gnu/lapack", "x86_64-linux-gnu", ""].map((part) => join(usr, part));
  return {
    command: "/usr/bin/python3",
    env: {
      LD_LIBRARY_PATH: [...libraries, join(folder, "lib/x86_64-linux-gnu")].join(":"),
      PYTHONPATH: join(usr, "python3/dist-packages"),
    },
  };
}

export function findTorch(): Python | undefined {
  const given = process.env.DIT_TORCH_PYTHON;
  const candidates = [...(given ? [given] : []), "python3", "/usr/bin/python3"].map((command): Python => ({ command, env: {} }));
  return [...candidates, ...(whole(folder) ? [unpacked()] : [])].find(
    (python) => start(python, ["-c", "import torch"]).status === 0,
  );
}

/** Unpacks Debian's packages; throws what stands in the way. */
export function fetchTorch(): void {
  fillOnce(folder, whole, (draft) => {
    const work = `${draft}.apt`;
    try {
      unpackDebian(["python3-torch"], draft, work);
    } finally {
      spawnSync("rm", ["-rf", work]);
    }
  });
}

const envOf = ({ env }: Python, more: Readonly<Record<string, string>>) => ({
  ...process.env,
  OMP_NUM_THREADS: "1",
  ...env,
  ...more,
});

export const start = (python: Python, args: readonly string[], more: Readonly<Record<string, string>> = {}) =>
  spawnSync(python.command, args, { env: envOf(python, more), encoding: "utf8", timeout: 200_000 });

/**
 * Runs a program in several processes with what torchrun gives each of them; Debian's own torchrun (PyTorch 1.13 on Python 3.11) does not
 * start. Gives the first one's standard output; throws what a process that failed has said.
 */
export async function startAll(
  python: Python,
  args: readonly string[],
  processes: number,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const port = await freePort();
  const one = (rank: number) =>
    new Promise<string>((resolve, reject) => {
      const several = { MASTER_ADDR: "127.0.0.1", MASTER_PORT: String(port), WORLD_SIZE: String(processes) };
      const env = processes > 1 ? { ...several, RANK: String(rank), LOCAL_RANK: String(rank) } : {};
      const child = spawn(python.command, args, { env: envOf(python, { ...env, ...more }), timeout: 200_000 });
      let [out, err] = ["", ""];
      child.stdout.on("data", (text) => {
        out += text;
      });
      child.stderr.on("data", (text) => {
        err += text;
      });
      child.on("error", reject);
      child.on("close", (code) => (code === 0 ? resolve(out) : reject(new Error(`process ${rank} ended with ${code}: ${err}`))));
    });
  const [first] = await Promise.all(Array.from({ length: processes }, (_, rank) => one(rank)));
  return first!;
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
