// One program on one work in a page of a Chromium of its own: `node bench/peers/page.mjs PEER FOLDER RUNS`, as job.mjs does it in Node. Its
// code is bundled as a page's is; the folder of the work is what its server serves and where our numbers come to lie.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, extname, join } from "node:path";
import { chromium } from "playwright-core";
import { build } from "rolldown";
import { fromDist } from "../../scripts/dist.mjs";
import { referenceCode } from "../reference.mjs";
import { peerNamed, reason, versionOf } from "./peers.mjs";
import { readTask } from "./task.mjs";

const types = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const [name, folder, count] = process.argv.slice(2);
const peer = peerNamed(name);
const result = await measure().catch((error) => ({ failed: reason(error) }));
console.log(JSON.stringify({ peer: name, version: versionOf(peer), ...result }));
process.exit(0);

async function measure() {
  const site = mkdtempSync(join(tmpdir(), "dit-compile-page-"));
  const ahead = peer.ahead && (await (await import(peer.ahead)).ahead(readTask(folder)));
  try {
    await build({
      input: { index: join(import.meta.dirname, "page-job.mjs") },
      platform: "browser",
      logLevel: "silent",
      output: { dir: site, entryFileNames: "[name].js", minify: true },
    });
    if (peer.ours) await writeBundle(ahead, join(site, "bundle"));
    else if (ahead) writeFileSync(join(site, "ahead"), ahead);
    writeFileSync(join(site, "reference.wgsl"), referenceCode());
    return await inPage(site, { peer: name, ours: peer.ours ?? false, ahead: Boolean(ahead) && !peer.ours, runs: Number(count) });
  } finally {
    rmSync(site, { recursive: true, force: true });
  }
}

async function writeBundle(bundle, at) {
  const { bundleFiles } = await fromDist("compile/bundle.js");
  for (const [file, content] of bundleFiles(bundle)) {
    mkdirSync(dirname(join(at, file)), { recursive: true });
    writeFileSync(join(at, file), content);
  }
}

async function inPage(site, job) {
  const { findChromium } = await fromDist("runtime/node/chromium.js");
  const found = findChromium();
  if (!found) throw new Error("there is no Chromium on this machine: npx dit-compile doctor --fetch");
  const { executablePath, args, env } = found;
  const server = await serve(site);
  // A browser of its own has an empty cache of kernels.
  const browser = await chromium.launch({ executablePath, args: [...args], env: { ...process.env, ...env } });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(0);
    page.on("pageerror", (error) => console.error(String(error)));
    await page.goto(`http://localhost:${server.address().port}/page.html`);
    return await page.evaluate(`import("/index.js").then(({ run }) => run(${JSON.stringify(job)}))`);
  } finally {
    await browser.close();
    server.close();
  }
}

/** The site, then the work, then the files that libraries fetch by name; isolated, so that threads may share memory. */
async function serve(site) {
  const places = [
    site,
    folder,
    ...(peer.page?.files ?? []).map((file) => join(import.meta.dirname, "node_modules", dirname(file))),
  ];
  const isolated = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    const answer = (status, content = "", type = "text/plain") =>
      response.writeHead(status, { "content-type": type, ...isolated }).end(content);
    if (request.method === "PUT") {
      const parts = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", () => {
        // Ours alone puts a file, in parts one after the other.
        const flag = searchParams.get("from") === "0" ? "w" : "a";
        writeFileSync(join(folder, "expected.safetensors"), Buffer.concat(parts), { flag });
        answer(204);
      });
      return;
    }
    if (pathname === "/page.html") return answer(200, "<!doctype html><title>peers</title>", "text/html");
    const file = places.map((place) => join(place, pathname)).find((path) => existsSync(path));
    if (!file) return answer(404);
    answer(200, readFileSync(file), types[extname(file)] ?? "application/octet-stream");
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  return server;
}
