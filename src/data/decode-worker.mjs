/**
 * A thread that turns an image file into bytes of one size. What is wrong with the file is an answer, not an error: the caller decides
 * what becomes of it.
 *
 * JavaScript, like crop.mjs: Node runs it in threads from src as from dist.
 */
// @ts-check
import { readFile } from "node:fs/promises";
import sharp from "sharp";
import { centreCrop, planes } from "./crop.mjs";

// Each thread decodes one image at a time, and no image twice.
sharp.concurrency(1);
sharp.cache(false);

/**
 * Orientation is EXIF's; transparency lies on white; colour profiles are not applied, as in ADM; 16 bits become 8.
 * @param {{ path: string, side: number, channels: 1 | 3 }} task
 * @returns {Promise<{ bytes: Uint8Array } | { reason: string, system?: string }>} bytes: [channels, side, side]
 */
export default async function decode({ path, side, channels }) {
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
