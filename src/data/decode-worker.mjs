/**
 * A thread that turns image files into bytes of one size. What is wrong with a file is an answer, not an error: the caller decides
 * what becomes of it.
 *
 * JavaScript, like crop.mjs: Node runs it in threads from src as from dist.
 */
// @ts-check
import { readFile } from "node:fs/promises";
import sharp from "sharp";
import { centreCrop, planes } from "./crop.mjs";

// There are as many threads as there should be, and no image is decoded twice.
sharp.concurrency(1);
sharp.cache(false);

/** @typedef {{ bytes: Uint8Array } | { reason: string, system?: string }} Answer bytes: [channels, side, side] */

/**
 * Several images a task: while the thread that asked is busy, this one is not to wait for its next order.
 * @param {{ paths: string[], side: number, channels: 1 | 3 }} task
 * @returns {Promise<Answer[]>}
 */
export default async function decodeAll({ paths, side, channels }) {
  const answers = [];
  for (const path of paths) answers.push(await decode(path, side, channels));
  return answers;
}

/**
 * Orientation is EXIF's; transparency lies on white; colour profiles are not applied, as in ADM; 16 bits become 8.
 * @param {string} path
 * @param {number} side
 * @param {1 | 3} channels
 * @returns {Promise<Answer>}
 */
async function decode(path, side, channels) {
  try {
    const { data, info } = await sharp(await readFile(path), { failOn: "error", ignoreIcc: true })
      .autoOrient()
      .flatten({ background: "#ffffff" })
      .toColourspace("srgb")
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    const image = { data, width: info.width, height: info.height, bands: info.channels };
    return { bytes: planes(centreCrop(image, side), channels) };
  } catch (error) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
    const reason = (message.split("\n").find((line) => line.trim()) ?? "").trim();
    return code === undefined ? { reason } : { reason, system: code };
  }
}
