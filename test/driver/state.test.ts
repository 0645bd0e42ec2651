/** State of an entry: its next value is written where it lies when that is safe, and copied at the end when it is not. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseModule } from "../../src/ir/parse.js";
import { fuse } from "../../src/passes/fuse/index.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { bundleOf } from "../gpu/run-module.js";

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

async function steps(text: string, count: number): Promise<Record<string, number[]>[]> {
  const module = fuse.run(parseModule(`module graph\n\n${text}`), {});
  const session = await createSession(bundleOf(module), dawn.device, { batch: 1 });
  await session.write("a", Float32Array.of(1, 2, 3));
  await session.write("b", Float32Array.of(10, 20, 30));
  const out: Record<string, number[]>[] = [];
  for (let i = 0; i < count; i++) {
    const results = await session.run("main", {});
    out.push(Object.fromEntries(Object.entries(results).map(([name, data]) => [name, Array.from(data as Float32Array)])));
  }
  session.dispose();
  return out;
}

test("two states swap", async () => {
  const [first, second] = await steps("fn @main(%a: state f32[i: 3], %b: state f32[i: 3]) {\n  return a=%b, b=%a\n}\n", 2);
  expect(first).toEqual({ a: [10, 20, 30], b: [1, 2, 3] });
  expect(second).toEqual({ a: [1, 2, 3], b: [10, 20, 30] });
});

test("the old value is handed out beside the next one", async () => {
  const text = `fn @main(%a: state f32[i: 3], %b: state f32[i: 3]) {
  %n = add(%a, %b) : f32[i: 3]
  return a=%n, old=%a, b=%b
}
`;
  const [first, second] = await steps(text, 2);
  expect(first).toEqual({ a: [11, 22, 33], old: [1, 2, 3], b: [10, 20, 30] });
  expect(second).toEqual({ a: [21, 42, 63], old: [11, 22, 33], b: [10, 20, 30] });
});

test("a state read at other places than it is written is not written in place", async () => {
  const text = `fn @main(%a: state f32[i: 3], %b: state f32[i: 3]) {
  %head = slice(%a) {axis="i", from=0, to=2} : f32[i: 2]
  %n = pad(%head) {axis="i", before=1, after=0} : f32[i: 3]
  return a=%n, b=%b
}
`;
  const [first, second] = await steps(text, 2);
  expect(first!.a).toEqual([0, 1, 2]);
  expect(second!.a).toEqual([0, 0, 1]);
});
