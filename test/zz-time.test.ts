import { test } from "vitest";
import { compile } from "/work/main/src/compile/compile.js";
test("t", async () => {
  for (const preset of ["tiny", "DiT-S/2", "DiT-XL/2"]) {
    const t = performance.now();
    let last = t; const times: string[] = [];
    await compile("models/dit.graph.ts", { preset, verify: false, after: (p) => { const n = performance.now(); times.push(`${p} ${(n-last)|0}`); last = n; } });
    console.log(preset, (performance.now()-t)|0, times.join(", "));
  }
}, 300000);
