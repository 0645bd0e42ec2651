// `npm run bench -- --peers`: our program and others do the same work with the same weights on the same adapter. Ours goes first and
// leaves its numbers, against which the others' are checked. A process of its own, with an empty shader cache, for each.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromDist, root } from "../../scripts/dist.mjs";
import { downloadBytes } from "./download.mjs";
import { installPeers } from "./install.mjs";
import { peers } from "./peers.mjs";
import { writeTask } from "./task.mjs";
import { entryOf } from "./works.mjs";

/** A program that has not ended after this long is a result, too. */
const LIMIT_MINUTES = 20;

/** Gives, one after the other, results of every program, or of ours and `only` these, on each work: { work, adapter, batch, macs, …, programs }. */
export async function* comparePeers({ works, adapters, only, runs }) {
  installPeers();
  const { compile } = await fromDist("compile/compile.js");
  const { chooseDriver, driverEnv } = await fromDist("runtime/node/driver.js");
  const programs = peers.filter(({ name, ours }) => ours || only === undefined || only.includes(name));
  const downloads = new Map();
  for (const work of works) {
    const folder = mkdtempSync(join(tmpdir(), "dit-compile-peers-"));
    try {
      const { preset, batch, set, kind } = work;
      const entries = [entryOf[kind]];
      const { bundle, report } = await compile(join(root, "models/dit.graph.ts"), { preset, batch, set, entries });
      writeTask(folder, work, bundle.program);
      const onCpu = new Map();
      for (const adapter of adapters) {
        const inPage = adapter === "chromium";
        const env = inPage ? {} : driverEnv(chooseDriver(adapter));
        const found = [];
        for (const peer of programs.filter(({ kinds }) => kinds.includes(kind))) {
          console.error(`${work.name}, ${peer.name}${peer.gpu ? ` on ${adapter}` : ""} …`);
          // A program that does not use the adapter is not run again for each.
          const known = onCpu.get(peer.name);
          const result = known ?? { ...run(peer, folder, runs, env, inPage && peer.gpu ? "page" : "job"), gpu: peer.gpu };
          if (!peer.gpu) onCpu.set(peer.name, result);
          if (peer.ours) downloads.set(peer.name, await downloadBytes(peer, bundle));
          else if (peer.page && !downloads.has(peer.name)) downloads.set(peer.name, await downloadBytes(peer));
          found.push({ ...result, downloadBytes: downloads.get(peer.name) });
        }
        const { macs } = report.entries.find(({ name }) => name === entries[0]);
        const { parameters } = report;
        yield { work: work.name, kind, preset, batch, set, macs, parameters, adapter, programs: found };
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** `how`: job.mjs or page.mjs. */
function run(peer, folder, runs, driver, how) {
  const cache = mkdtempSync(join(tmpdir(), "dit-compile-bench-"));
  try {
    const { status, signal, error, stdout } = spawnSync(
      process.execPath,
      [join(root, `bench/peers/${how}.mjs`), peer.name, folder, String(runs)],
      {
        cwd: root,
        env: { ...process.env, ...driver, MESA_SHADER_CACHE_DIR: cache },
        encoding: "utf8",
        stdio: ["ignore", "pipe", "inherit"],
        timeout: LIMIT_MINUTES * 60_000,
      },
    );
    if (error?.code === "ETIMEDOUT") return { peer: peer.name, failed: `not done after ${LIMIT_MINUTES} minutes` };
    if (status !== 0)
      return { peer: peer.name, failed: signal ? `the process died (${signal})` : `the process ended with ${status}` };
    return JSON.parse(stdout.trim().split("\n").at(-1));
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}
