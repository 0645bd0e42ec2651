/** A run's page, opened from the disk as a person opens it: nothing goes to the network, and the slider chooses among the grids. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { gridPng } from "../../src/data/grid.js";
import { reportPage } from "../../src/trainer/report-page.js";
import { launchChromium } from "./browser.js";

const steps = [100, 600, 1200];
let folder: string;
let browser: Browser;
let page: Page;
const requested: string[] = [];
const said: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dit-compile-report-"));
  mkdirSync(join(folder, "samples"));
  const grids = steps.map((step) => ({ step, file: `samples/${step}.png` }));
  for (const { step, file } of grids)
    writeFileSync(join(folder, file), gridPng(new Float32Array(64).fill(step / 1200), [4, 1, 4, 4]));
  const records = Array.from({ length: 60 }, (_, i) => ({ step: 20 * i, loss: 1 / (1 + i), gradientNorm: 1 }));
  const html = reportPage({ title: "<b>run</b>", records, grids, config: { steps: 1200, batch: 32 }, finished: true });
  writeFileSync(join(folder, "report.html"), html);
  browser = await launchChromium();
  page = await browser.newPage({ viewport: { width: 400, height: 800 } });
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("request", (request) => requested.push(request.url()));
  await page.goto(pathToFileURL(join(folder, "report.html")).href);
});

afterAll(async () => {
  await browser?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

test("it loads its grids and nothing else, without a word on the console", async () => {
  expect(await page.title()).toBe("<b>run</b>: training run");
  const top = pathToFileURL(folder).href;
  expect(requested.filter((url) => !url.startsWith(top))).toEqual([]);
  const shown = await page
    .locator("#grid-image")
    .evaluate((image) => (image as unknown as { naturalWidth: number }).naturalWidth);
  expect(shown).toBe(2 * 4 + 3 * 2);
  expect(said).toEqual([]);
});

test("the slider and the small grids choose the large one", async () => {
  const state = async () => [
    await page.locator("#grid-image").getAttribute("src"),
    await page.locator("#grid-step").textContent(),
    await page.locator("#grid-slider").inputValue(),
    await page.locator(".strip a[aria-current]").count(),
  ];
  expect(await state()).toEqual(["samples/1200.png", "1,200", "2", 1]);
  await page.locator("#grid-slider").press("ArrowLeft");
  expect(await state()).toEqual(["samples/600.png", "600", "1", 1]);
  await page.locator(".strip a").first().click();
  expect(await state()).toEqual(["samples/100.png", "100", "0", 1]);
});

test("it fits a narrow window", async () => {
  const element = page.locator("html");
  expect(await element.evaluate((html) => (html as unknown as { scrollWidth: number }).scrollWidth)).toBe(400);
});
