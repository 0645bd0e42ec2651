/** The page of a run, as text: well-formed, escaped, complete. test/web/report.test.ts opens it in a browser. */
import { expect, test } from "vitest";
import { type ReportPage, reportPage } from "../../src/trainer/report-page.js";
import { digits, duration, fileSize } from "../../src/trainer/report-tables.js";

const page: ReportPage = {
  title: "DiT, preset fashion",
  records: Array.from({ length: 120 }, (_, i) => ({
    ...{ step: 10 * i, loss: i === 60 ? null : 1 / (1 + i), gradientNorm: 0.5, imagesPerSecond: 212.4, seconds: 3.2 * i },
    memory: 800 * 2 ** 20,
  })),
  grids: [100, 600, 1200].map((step) => ({ step, file: `samples/step ${step}.png` })),
  config: { model: "models/dit.graph.ts", steps: 1200, batch: 32, accumulate: 2, set: { learningRate: "2e-3" } },
  compileReport: {
    ...{ parameters: 1_285_937, trainable: 1_283_889, gflops: 0.0143, batch: 32, kernels: 67 },
    entries: [{ name: "train_step", dispatches: 121, kernels: 47, macs: 2.613e9, peakTotal: 65.4 * 2 ** 20 }],
    ...{ peakBytes: { parameter: 5_143_808, moment1: 0 }, peakTotal: 71.2 * 2 ** 20 },
  },
  adapter: "llvmpipe",
  attribution: "Pictures by Somebody",
  finished: true,
};

/** Names of elements that are open at the end, or a complaint: enough of a parser for pages that are written by a program. */
function unbalanced(html: string): string[] {
  const open: string[] = [];
  const body = html.replace(/<!doctype html>/, "").replace(/(<(script|style)>)[\s\S]*?(<\/\2>)/g, "$1$3");
  for (const [, closing, name, self] of body.matchAll(/<(\/?)([a-z0-9]+)(?:\s+[a-z-]+(?:="[^"<>]*")?)*\s*(\/?)>/gi)) {
    if (["meta", "img", "input"].includes(name!) || self === "/") continue;
    if (closing === "") open.push(name!);
    else if (open.pop() !== name) return [`</${name}> closes nothing`];
  }
  // Whatever is left of < or > was in no tag that the pattern takes.
  return [...open, ...(body.replace(/<\/?[a-z0-9]+(?:\s+[a-z-]+(?:="[^"<>]*")?)*\s*\/?>/gi, "").match(/[<>]/g) ?? [])];
}

test("the page is well-formed, with or without its parts", () => {
  expect(unbalanced(reportPage(page))).toEqual([]);
  expect(unbalanced(reportPage({ title: "x", records: [], grids: [], config: {}, finished: false }))).toEqual([]);
  expect(unbalanced("<p><b>x</p></b>")).not.toEqual([]);
  expect(unbalanced("<p>1 < 2</p>")).not.toEqual([]);
});

test("what comes from outside is text, never markup", () => {
  const evil = `"><script>alert('x')</script>&`;
  const html = reportPage({
    ...page,
    ...{ title: evil, adapter: evil, attribution: evil, config: { [evil]: evil, set: { a: [evil] } } },
    grids: [{ step: 1, file: `samples/${evil}.png` }],
    compileReport: {
      ...page.compileReport!,
      entries: [{ ...page.compileReport!.entries[0]!, name: evil }],
      peakBytes: { [evil]: 1 },
    },
  });
  expect(html).not.toContain("<script>alert");
  expect(html.match(/<script>/g)).toHaveLength(1);
  expect(html).toContain("&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;");
  expect(unbalanced(html)).toEqual([]);
});

test("it holds the figures, the curve, every grid, the settings and what was compiled", () => {
  const html = reportPage(page);
  for (const text of ["finished", "1,190", "76,160", "6.3 min", "212.4", "800 MiB", "llvmpipe", "Pictures by Somebody"]) {
    expect(html).toContain(text);
  }
  for (const text of ["set.learningRate", "2e-3", "1,285,937", "0.0143", "121", "65.4 MiB", "2.613 · 10⁹"])
    expect(html).toContain(text);
  expect(html).toContain('<svg class="chart"');
  const images = [...html.matchAll(/<img src="([^"]*)" alt="([^"]*)"/g)].map(([, src, alt]) => [src, alt]);
  expect(images[0]).toEqual(["samples/step%201200.png", "samples at step 1,200"]);
  expect(images.slice(1).map(([src]) => src)).toEqual([
    "samples/step%20100.png",
    "samples/step%20600.png",
    "samples/step%201200.png",
  ]);
  // A row of the table for each twentieth of the run, the first and the last among them; the gap is named.
  expect(html.match(/<tr><th scope="row">[\d,]+<\/th><td>/g)).toHaveLength(20);
});

test("it needs no network: nothing but grids is named from outside", () => {
  const html = reportPage(page);
  expect([...html.matchAll(/\b(?:src|href)="([^"]*)"/g)].filter(([, url]) => !url!.startsWith("samples/"))).toEqual([]);
  expect(html.replaceAll('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:|url\(|@import/);
});

test("numbers as people read them", () => {
  expect([0, 0.061234, 123.456, 12345.6, 2e-5, 1.5e7].map(digits)).toEqual([
    "0",
    "0.06123",
    "123.5",
    "12,346",
    "2.00e-5",
    "1.50e7",
  ]);
  expect([0.4, 59, 1349, 90_000].map(duration)).toEqual(["0.4 s", "59 s", "22.5 min", "25 h"]);
  expect([12, 2048, 5_143_808, 3e12].map(fileSize)).toEqual(["12 bytes", "2.00 KiB", "4.91 MiB", "2.73 TiB"]);
});
