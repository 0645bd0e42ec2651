/** What the language refuses, and the exact words: the text that the command prints. One program in refused/ each. */
import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import { withModel } from "../../src/frontend/load.js";

const folder = fileURLToPath(new URL("./refused/", import.meta.url));

async function printed(name: string): Promise<string> {
  try {
    await withModel(`${folder}${name}.ts`, { library: {} }, () => undefined);
  } catch (error) {
    if (error instanceof DitError) return error.message;
    throw error;
  }
  return "accepted";
}

const expected: Readonly<Record<string, string>> = {
  "bool-arithmetic": `
bool-arithmetic.ts:5:20: error DIT1001: bool tensors have no arithmetic; use where, and, or, not, or cast
 5 | export const out = x.lt(0).mul(2);
   |                    ^^^^^^^`,
  "dot-axis": `
dot-axis.ts:6:40: error DIT1001: no axis hidden on the left, in [batch token mlp]
 6 | export const out = dot(hidden, weight, "hidden");
   |                                        ^^^^^^^^`,
  dtypes: `
dtypes.ts:6:26: error DIT1001: dtypes differ: f32 and i32; use cast
 6 | export const out = x.add(label);
   |                          ^^^^^`,
  "extra-axis": `
extra-axis.ts:6:26: error DIT1001: [batch head token width] lacks axis key, and [batch head key width] lacks axis token
 6 | export const out = q.add(k);
   |                          ^`,
  generic: `
generic.ts:4:16: error DIT1001: dtypes differ: f32 and f16; use cast
 4 |   return x.add(branch);
   |                ^^^^^^`,
  "integer-exp": `
integer-exp.ts:5:20: error DIT1001: this needs f32 or f16, not i32; use cast
 5 | export const out = label.exp();
   |                    ^^^^^`,
  merge: `
merge.ts:5:32: error DIT1001: [head width] do not stand side by side, in this order, in [batch head token width]; transpose first
 5 | export const out = mixed.merge("head width", "hidden");
   |                                ^^^^^^^^^^^^`,
  "missing-axis": `
missing-axis.ts:6:26: error DIT1001: [batch token hidden] lacks axis width, and [batch width] lacks axis token
 6 | export const out = x.mul(gate).add(1);
   |                          ^^^^`,
  "repeated-name": `
repeated-name.ts:5:31: error DIT1001: head would stand twice in [batch head head width]; rename one of them
 5 | export const out = k.rename({ token: "head" });
   |                               ^^^^^`,
  "return-type": `
return-type.ts:4:3: error DIT1001: this tensor is [batch token mlp], expected [batch token hidden]
 4 |   return linear(x, "hidden", { mlp: 1536 }, "mlp.fc1");
   |   ^^^^^^`,
  "softmax-axis": `
softmax-axis.ts:5:36: error DIT1001: no axis keys in [batch head token key]
 5 | export const out = softmax(scores, "keys");
   |                                    ^^^^^^`,
  split: `
split.ts:5:28: error DIT1001: token would stand twice in [batch token three token width]; rename one of them
 5 | export const out = x.split("qkv", "three token width", { three: 3, token: 6, width: 64 });
   |                            ^^^^^`,
};

describe("refused programs", () => {
  test("each has its words", () => {
    expect(
      readdirSync(folder)
        .map((f) => basename(f, ".ts"))
        .sort(),
    ).toEqual(Object.keys(expected).sort());
  });
  test.each(Object.entries(expected))("%s", async (name, text) => {
    expect(await printed(name)).toBe(text.trimStart());
  });
});
