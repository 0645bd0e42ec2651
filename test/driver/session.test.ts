import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { errorMessage } from "../../src/cli/io.js";
import { type StoredTensor, writeSafetensors } from "../../src/formats/safetensors.js";
import type { Bundle } from "../../src/program/program.js";
import { countCalls, createSession, DitRuntimeError, type Session, streamWeights } from "../../src/runtime/index.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { damage, loose, tiny } from "../program/tiny.js";

let dawn: DawnDevice;
let sessions: Session[];
beforeEach(async () => {
  dawn = await requestDevice();
  sessions = [];
});
afterEach(() => {
  for (const session of sessions) session.dispose();
  dawn.dispose();
});

async function open(options: Parameters<typeof createSession>[2] = {}, bundle: Bundle = tiny()): Promise<Session> {
  const session = await createSession(bundle, dawn.device, options);
  sessions.push(session);
  return session;
}

async function ready(options: Parameters<typeof createSession>[2] = {}): Promise<Session> {
  const session = await open(options);
  await session.write("a", Float32Array.of(1, 2, 3, 4));
  await session.write("p.b", [10, 20, 30, 40]);
  return session;
}

/** The typed error that a promise rejects with. */
async function refusal(promise: Promise<unknown>): Promise<DitRuntimeError> {
  const error = await promise.then(
    () => new Error("it was accepted"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DitRuntimeError);
  return error as DitRuntimeError;
}

/** Calls per step between two counts; what was not called is left out. */
const difference = (after: Record<string, number>, before: Record<string, number>, steps = 1) =>
  Object.fromEntries(
    Object.entries(after).flatMap(([name, count]) => {
      const calls = (count - (before[name] ?? 0)) / steps;
      return calls === 0 ? [] : [[name, calls]];
    }),
  );

const x = Float32Array.of(1, 1, 1, 1, 2, 2, 2, 2);
const y = [111, 122, 133, 144, 312, 324, 336, 348];

describe("a session", () => {
  it("computes, again and again", async () => {
    const session = await ready();
    for (let i = 0; i < 10; i++) {
      const outputs = await session.run("axpb", { x, t: Int32Array.of(0, 2) });
      expect([...outputs.y!]).toEqual(y);
    }
    expect([...(await session.run("axpb", { x: [...x], t: [1, 1] })).y!].slice(0, 4)).toEqual([211, 222, 233, 244]);
  });

  it("runs at other batches than the program's own, also with folded grids", async () => {
    const bundle = tiny();
    damage(bundle.program.profile.limits).maxComputeWorkgroupsPerDimension = damage(40);
    const session = await open({ batch: 1001, entries: ["axpb"] }, bundle);
    await session.write("a", [1, 2, 3, 4]);
    const big = Float32Array.from({ length: 4 * 1001 }, (_, i) => i);
    // 1001 groups take 26 rows of at most 40.
    expect(session.batch).toBe(1001);
    const { y: out } = await session.run("axpb", { x: big, t: new Int32Array(1001) });
    expect([...out!]).toEqual([...big].map((value, i) => value * ((i % 4) + 1) + 100));
  }, 60_000);

  it("keeps its order when calls are not awaited", async () => {
    const session = await ready();
    const t = Int32Array.of(0, 2);
    const first = session.run("axpb", { x, t });
    const change = session.write("b", new Float32Array(4));
    const second = session.run("axpb", { x, t });
    await change;
    expect([...(await first).y!]).toEqual(y);
    expect([...(await second).y!]).toEqual([101, 102, 103, 104, 302, 304, 306, 308]);
  });

  it("repeats with its counter on the GPU, reports each step, and keeps state", async () => {
    const session = await ready();
    const steps: string[] = [];
    await session.repeat("count", {}, { onStep: (done, total) => steps.push(`${done}/${total}`) });
    expect(steps.filter((step, i) => steps.indexOf(step) === i)).toEqual(["1/5", "2/5", "3/5", "4/5", "5/5"]);
    const state = await session.read(["step", "sum", "count.out", "a"]);
    expect([...state.step!]).toEqual([5]);
    expect(state.step).toBeInstanceOf(Uint32Array);
    expect([...state["count.out"]!]).toEqual([15, 30, 45, 60]);
    expect([...(await session.run("count")).out!]).toEqual([55, 110, 165, 220]);
    await session.write("step", Uint32Array.of(0));
    await session.write("sum", new Float32Array(4));
    expect([...(await session.run("count")).out!]).toEqual([15, 30, 45, 60]);
  });

  it("gives the same when submits are cut", async () => {
    const session = await ready({ submitBudgetMs: 0.001 });
    for (const sum of [15, 55, 120]) {
      expect([...(await session.run("axpb", { x, t: [0, 2] })).y!]).toEqual(y);
      expect([...(await session.run("count")).out!]).toEqual([sum, 2 * sum, 3 * sum, 4 * sum]);
    }
  });

  it("cuts no more than the budget asks for", async () => {
    const session = await ready({ submitBudgetMs: 10_000 });
    await session.run("count");
    const counter = countCalls(dawn.device);
    await session.run("count");
    await session.repeat("count");
    expect(counter.counts().submit).toBe(2);
    counter.stop();
  });

  it("stops when told, between steps", async () => {
    const session = await ready();
    const stop = new AbortController();
    const onStep = (done: number) => done === 2 && stop.abort();
    const error = await refusal(session.repeat("count", {}, { onStep, signal: stop.signal }));
    expect(error.code).toBe("DIT6008");
    const { step } = await session.read(["step"]);
    expect(step![0]).toBeGreaterThanOrEqual(2);
    expect(step![0]).toBeLessThan(5);
  });

  it("stops a run before a dispatch, to show what it would read", async () => {
    const session = await ready();
    await session.submit("axpb", { x, t: [0, 0] }, { until: 1 });
    const ax = new Float32Array(await session.readStorage(3));
    expect([...ax]).toEqual([1, 2, 3, 4, 2, 4, 6, 8]);
  });

  it("makes one submit a step, and nothing new after the first", async () => {
    const counter = countCalls(dawn.device);
    const session = await ready();
    const t = Int32Array.of(0, 2);
    const during = async (steps: number) => {
      const before = counter.counts();
      for (let i = 0; i < steps; i++) await session.run("axpb", { x, t });
      return difference(counter.counts(), before, steps);
    };
    const one = { createCommandEncoder: 1, beginComputePass: 1, submit: 1, onSubmittedWorkDone: 1, mapAsync: 1, writeBuffer: 2 };
    await during(1);
    for (const steps of [2, 10, 100]) expect(await during(steps)).toEqual(one);
    const before = counter.counts();
    for (let i = 0; i < 20; i++) await session.submit("axpb");
    await session.repeat("count");
    // Five rounds and the end, each a submit; and no input is written again.
    const submits = 20 + 6;
    expect(difference(counter.counts(), before)).toEqual({
      createCommandEncoder: submits,
      beginComputePass: submits,
      submit: submits,
      onSubmittedWorkDone: submits,
    });
    counter.stop();
  });

  it("logs the variant and why", async () => {
    const lines: string[] = [];
    const session = await open({ log: (line) => lines.push(line) });
    expect(lines).toContain("kernel mul: variant subgroup (the device has subgroups)");
    expect(lines).toContain("kernel add: variant plain (the only one)");
    expect(session.variants[0]).toEqual({ kernel: "mul", variant: "subgroup", why: "the device has subgroups" });
    const bare = await requestDevice({ features: [], limits: {} });
    const plain = await createSession(tiny(), bare.device, { log: (line) => lines.push(line) });
    expect(lines).toContain("kernel mul: variant plain (runs everywhere; not subgroup: no feature subgroups)");
    plain.dispose();
    bare.dispose();
  });

  it("streams weights from a file that comes in odd pieces", async () => {
    const session = await open();
    const f32: StoredTensor = { dtype: "F32", shape: [4], data: Float32Array.of(1, 2, 3, 4) };
    const f16: StoredTensor = { dtype: "F16", shape: [4], data: Uint16Array.of(0x3c00, 0x4000, 0xbc00, 0x3800) };
    const file = writeSafetensors(
      new Map([
        ["a", f32],
        ["other", f32],
        ["b", f16],
      ]),
    );
    for (const size of [1, 3, 7, 4096]) {
      const pieces = (async function* () {
        for (let at = 0; at < file.length; at += size) yield file.subarray(at, at + size);
      })();
      expect(await streamWeights(session, pieces)).toEqual(["a", "b"]);
      const { a, b } = await session.read(["a", "b"]);
      expect([...a!, ...b!]).toEqual([1, 2, 3, 4, 1, 2, -1, 0.5]);
      await session.write("a", new Float32Array(4));
    }
    const short = (async function* () {
      yield file.subarray(0, file.length - 3);
    })();
    expect((await refusal(streamWeights(session, short, { label: "w.safetensors" }))).message).toContain(
      "w.safetensors: the file ends after",
    );
  });
});

describe("a session refuses", () => {
  it("wrong inputs, with the shape it expects", async () => {
    const session = await ready();
    const t = Int32Array.of(0, 0);
    const says = async (inputs: object) => {
      const { code, message, help } = await refusal(session.run("axpb", inputs as never));
      expect(code).toBe("DIT6004");
      return `${message} / ${help ?? ""}`;
    };
    expect(await says({ x })).toContain('axpb needs the input "t", i32 [batch 2]');
    expect(await says({ x, t, xx: x })).toContain('axpb has no input "xx" / did you mean "x"?');
    expect(await says({ x, t, a: x })).toContain('"a" is a parameter: it is already there');
    expect(await says({ x: x.subarray(1), t })).toContain("expected f32 [batch 2, width 4] = 8 elements, found 7");
    expect(await says({ x: new Float64Array(8), t })).toContain(
      "expected a Float32Array for f32 [batch 2, width 4], found Float64Array",
    );
    expect(await says({ x, t: Float32Array.of(0, 1.5) })).toContain('"t[1]" is 1.5, expected a whole number');
    expect(await says({ x, t: Float32Array.of(0, 1) })).toContain("expected a Int32Array for i32 [batch 2], found Float32Array");
    expect(await says({ x, t: [0, 2 ** 31] })).toContain('"t[1]" is 2147483648, expected a whole number');
    expect(await says({ x: "no", t })).toContain("found String");
    expect((await refusal(session.run("axbp", {}))).help).toBe('did you mean "axpb"?');
    expect((await refusal(session.write("m.a", x))).message).toBe('the loaded entries have no tensor "m.a"');
    expect((await refusal(session.write("a", x))).message).toBe('"a" has 4 elements, found 8');
    expect((await refusal(session.write("a", Int32Array.of(1, 2, 3, 4)))).message).toContain("holds f32");
    // And goes on as if nothing had happened.
    expect([...(await session.run("axpb", { x, t: [0, 2] })).y!]).toEqual(y);
  });

  it("broken WGSL, with the kernel and the place", async () => {
    const bundle = tiny();
    (bundle.wgsl as Record<string, string>)["copy.wgsl"] = bundle.wgsl["copy.wgsl"]!.replace("= b0[i]", "= nothing[i]");
    const error = await refusal(open({}, bundle));
    expect(error.code).toBe("DIT6005");
    expect(error.message).toMatch(
      /^kernel "copy", variant "plain", was refused by the device:\n {2}copy.wgsl:\d+:\d+: unresolved value 'nothing'/,
    );
    const wrongMode = tiny();
    (wrongMode.wgsl as Record<string, string>)["copy.wgsl"] = wrongMode.wgsl["copy.wgsl"]!.replace(
      "<storage, read_write> b0",
      "<storage, read> b0",
    );
    expect((await refusal(open({}, wrongMode))).message).toContain('kernel "copy", variant "plain", was refused by the device');
  });

  it("a program that is damaged, before it touches the device", async () => {
    const bundle = tiny();
    loose(bundle.program).kernels![0]!.words = damage(7);
    const counter = countCalls(dawn.device);
    const error = await refusal(open({}, bundle));
    expect(error.code).toBe("DIT6001");
    expect(error.message).toContain("kernels[0]");
    expect(counter.counts()).toEqual({});
    counter.stop();
  });

  it("to take more memory than it may, with the figures and before it asks for any", async () => {
    const counter = countCalls(dawn.device);
    const error = await refusal(open({ batch: 1000, memoryLimit: 64 << 10 }));
    expect(error.code).toBe("DIT6003");
    expect(error.message).toMatch(
      /^the plan needs 117\.8 KiB \(.*activation \d+\.\d KiB, uniforms 1\.0 KiB, staging 64\.0 KiB\) of GPU memory, 64\.0 KiB may be used$/,
    );
    expect((await refusal(open({ batch: 100_000_000 }))).message).toContain("maxStorageBufferBindingSize allows 134217728");
    expect(counter.counts()).toEqual({});
    counter.stop();
  });

  it("a device without what the profile needs", async () => {
    const bundle = tiny();
    Object.assign(bundle.program.profile, {
      features: ["texture-compression-astc"],
      limits: { maxBufferSize: 2 ** 50 },
      name: "big",
    });
    const error = await refusal(open({}, bundle));
    expect(error.code).toBe("DIT6002");
    expect(error.message).toMatch(
      /compiled for "big", and the device falls short: no feature texture-compression-astc; maxBufferSize \d+, needs 1125899906842624/,
    );
  });

  it("to go on after the device is lost, each time", async () => {
    const session = await ready();
    await session.run("axpb", { x, t: [0, 0] });
    const pending = session.run("axpb", { x, t: [0, 0] });
    dawn.device.destroy();
    const late = pending.then(
      () => undefined,
      (error: unknown) => error,
    );
    const lost = await late;
    if (lost !== undefined) expect((lost as DitRuntimeError).code).toBe("DIT6006");
    for (const call of [() => session.run("axpb", { x, t: [0, 0] }), () => session.read(["a"]), () => session.submit("count")]) {
      const error = await refusal(call());
      expect(error.code).toBe("DIT6006");
      expect(error.message).toContain("the device was lost (destroyed)");
    }
  });

  it("to end a step whose device is lost in the middle", async () => {
    const session = await ready();
    const onStep = (done: number) => done === 2 && dawn.device.destroy();
    const error = await refusal(session.repeat("count", {}, { onStep }));
    expect(errorMessage(error)).toMatch(
      /^error DIT6006: the device was lost \(destroyed\)(: .+)?\n {2}help: create a device and a session again, and go on from the last snapshot$/,
    );
  });

  it("to work once disposed", async () => {
    const session = await ready();
    session.dispose();
    session.dispose();
    expect((await refusal(session.run("count"))).code).toBe("DIT6008");
  });

  it("what others do wrong with its device, as a typed error of every later call", async () => {
    const session = await ready();
    dawn.device.createBuffer({ size: 16, usage: 0x80 | 1 });
    await session.idle().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await refusal(session.run("count"))).code).toBe("DIT6005");
  });
});
