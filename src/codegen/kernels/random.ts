/** What a body that draws random numbers adds to its kernel: the generator, and the inverse-CDF table behind `normal_table`. */
import type { Emitter } from "../emitter.js";
import type { Region } from "../region.js";

export function threefryNeeds(emitter: Emitter, region: Region): { hooks: string; libraries: readonly string[] } {
  if (!emitter.usesRandom) return { hooks: "", libraries: [] };
  const table = emitter.normalTable;
  const read = table === undefined ? "0i" : `b${region.params[table]}[i]`;
  return { hooks: `fn normal_table(i: u32) -> i32 {\n  return ${read};\n}\n\n`, libraries: ["../program/random.wgsl"] };
}
