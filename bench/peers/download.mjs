// What a page fetches before it can run anything: code, kernels and tables, compressed by gzip, without the weights, which are the same
// for all. A library counts as what a bundler leaves of it for the very model that is measured, minified, and its own binary files.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { fromDist } from "../../scripts/dist.mjs";

const here = (path) => new URL(path, import.meta.url);
const size = (content) => gzipSync(content).length;

export async function downloadBytes({ ours, page }, bundle) {
  if (ours) {
    const { bundleFiles } = await fromDist("compile/bundle.js");
    const files = [...bundleFiles(bundle)].filter(([name]) => !name.endsWith(".d.ts"));
    return files.reduce((sum, [, content]) => sum + size(content), 0);
  }
  if (!page) return undefined;
  const { build } = await import("rolldown");
  const { output } = await build({
    input: here(page.entry).pathname,
    platform: "browser",
    logLevel: "silent",
    write: false,
    output: { minify: true },
  });
  const code = output.filter(({ type, fileName }) => type === "chunk" && !page.unused?.test(fileName));
  const files = (page.files ?? []).map((file) => readFileSync(here(`./node_modules/${file}`)));
  return [...code.map((chunk) => chunk.code), ...files].reduce((sum, content) => sum + size(content), 0);
}
