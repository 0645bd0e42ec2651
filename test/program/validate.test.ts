import { describe, expect, it } from "vitest";
import { type Layout, pack } from "../../src/program/pack.js";
import type { Program } from "../../src/program/program.js";
import { validate, validateLayout } from "../../src/program/validate.js";
import { damage, type Loose, loose, tiny } from "./tiny.js";

/** What the validator says when one thing is wrong. */
function saysOf(change: (program: Loose) => void): string[] {
  const { program, wgsl, constants } = tiny();
  change(loose(program));
  return validate(JSON.parse(JSON.stringify(program)), wgsl, constants.length);
}

const put = (object: Loose, key: string | number, value: unknown) => {
  (object as unknown as Record<string | number, unknown>)[key] = value;
};
const at = (object: Loose, ...path: (string | number)[]): Loose =>
  path.reduce((value, key) => damage((value as unknown as Record<string | number, unknown>)[key]), object);

describe("validate", () => {
  it("passes a good program, as it is and as JSON", () => {
    const { program, wgsl, constants } = tiny();
    expect(validate(program, wgsl, constants.length)).toEqual([]);
    expect(saysOf(() => {})).toEqual([]);
    expect(validate({ ...program, version: { major: 1, minor: 99 }, news: true }, wgsl)).toEqual([]);
  });

  it.each([
    [
      "a newer major",
      (p: Loose) => put(p, "version", { major: 2, minor: 0 }),
      "the program has format version 2.0, this runtime reads up to 1: use a newer runtime",
    ],
    ["no version", (p: Loose) => put(p, "version", undefined), "version is missing, expected { major, minor }"],
    ["another format", (p: Loose) => put(p, "format", "zip"), 'this is not a "dit-compile program"'],
    ["a missing list", (p: Loose) => put(p, "kernels", undefined), "kernels is missing, expected a list"],
    [
      "a wrong kind",
      (p: Loose) => put(at(p, "storages", 0), "kind", "heap"),
      'storages[0].kind is "heap", expected input or parameter or',
    ],
    ["a fractional size", (p: Loose) => put(at(p, "storages", 3), "bytes", 1.5), "storages[3].bytes is 1.5, expected a size"],
    [
      "a negative size",
      (p: Loose) => put(at(p, "storages", 3), "bytes", [-16, 8]),
      'storages[3] activation "ax" has -8 bytes at batch 1',
    ],
    [
      "a repeat of zero",
      (p: Loose) => put(at(p, "entries", 1, "segments", 0), "repeat", 0),
      "entries[1].segments[0].repeat is 0, expected a whole number from 1",
    ],
    [
      "a file outside",
      (p: Loose) => put(at(p, "kernels", 1, "variants", 0), "file", "../x.wgsl"),
      'kernels[1].variants[0].file is "../x.wgsl", expected a path inside the bundle',
    ],
    [
      "a file elsewhere",
      (p: Loose) => put(at(p, "kernels", 1, "variants", 0), "file", "https://x/y"),
      "expected a path inside the bundle",
    ],
    [
      "a missing file",
      (p: Loose) => put(at(p, "kernels", 1, "variants", 0), "file", "x.wgsl"),
      'kernels[1] "add" variant "plain" needs the file x.wgsl, which is missing',
    ],
    [
      "a kernel that does not exist",
      (p: Loose) => put(at(p, "entries", 0, "segments", 0, "dispatches", 1), "kernel", 9),
      'axpb: "add %y @ tiny.ts:4:1" runs kernel 9, there are 4',
    ],
    [
      "a storage that does not exist",
      (p: Loose) => put(at(p, "entries", 1, "segments", 0, "dispatches", 0, "bindings"), 0, 99),
      'count: "tick @ tiny.ts:8:1" binds storage 99, there are 10',
    ],
    [
      "too few bindings",
      (p: Loose) => put(at(p, "entries", 1, "segments", 0, "dispatches", 0), "bindings", [1, 5]),
      'binds 2 storages, kernel "tick" has 3',
    ],
    [
      "words no multiple of 4",
      (p: Loose) => put(at(p, "kernels", 2), "words", 6),
      'kernels[2] "tick" has 6 uniform words, expected a multiple of 4',
    ],
    [
      "too few words",
      (p: Loose) => put(at(p, "entries", 1, "segments", 0, "dispatches", 0), "uniforms", [1, 2, 3, 4, 5]),
      'has 5 words, kernel "tick" has room for 4',
    ],
    [
      "an extent of another rank",
      (p: Loose) => put(at(p, "entries", 1, "segments", 0, "dispatches", 0), "extent", [1, 2]),
      "has an extent of rank 2",
    ],
    [
      "negative work",
      (p: Loose) => put(at(p, "entries", 1, "segments", 0, "dispatches", 0, "work"), "read", [8, -4]),
      'count: "tick @ tiny.ts:8:1" has negative work: read [8,-4]',
    ],
    [
      "a last variant with wishes",
      (p: Loose) => put(at(p, "kernels", 3, "variants", 0), "requires", { features: ["shader-f16"] }),
      "requires something of the device",
    ],
    [
      "an unknown dtype",
      (p: Loose) => put(at(p, "entries", 0, "inputs", 0), "dtype", "f64"),
      'entries[0].inputs[0].dtype is "f64"',
    ],
    [
      "a port that is too large",
      (p: Loose) => put(at(p, "entries", 0, "outputs", 0), "shape", [[0, 1], 5]),
      'axpb: output "y" needs 20 bytes at batch 1, its storage has 16',
    ],
    [
      "constants that end early",
      (p: Loose) => put(at(p, "constants", 0), "offset", 4),
      'constants[0] "table" ends at byte 16 of constants.bin, which has 12',
    ],
    [
      "an unknown start",
      (p: Loose) => put(at(p, "parameters", 0), "init", { rule: "magic" }),
      'parameters[0].init.rule is "magic", expected xavier_uniform or',
    ],
    ["two weights of one name", (p: Loose) => put(at(p, "storages", 2), "name", "a"), 'two of the same name: parameter "a"'],
    [
      "effects that access forbids",
      (p: Loose) => put(at(p, "kernels", 0), "effects", ["write", "read", "write"]),
      "says that it writes binding 0, which is bound read",
    ],
  ])("refuses %s", (_, change, text) => {
    expect(saysOf(change).join("\n")).toContain(text);
  });

  it.each([null, 3, "x", [], {}])("refuses %j", (value) => {
    expect(validate(value, {})).toEqual(['this is not a "dit-compile program"']);
  });

  it("says no more than a person reads", () => {
    expect(saysOf((p) => put(p, "storages", new Array(1000).fill({})))).toHaveLength(20);
  });
});

/** What the rules say of a layout in which one thing was moved. */
function rules(change: (program: Loose, layout: Loose) => void, batch = 2): string {
  const { program } = tiny();
  const layout = structuredClone(pack(program, batch));
  change(loose(program), damage(layout));
  return validateLayout(program as Program, layout as Layout, batch).join("\n");
}

describe("validateLayout", () => {
  it("passes what the packer makes", () => {
    expect(rules(() => {})).toBe("");
  });

  it("refuses a slab that one dispatch both reads and writes", () => {
    const text = rules((p) => put(at(p, "kernels", 1, "access"), 0, "read"));
    expect(text).toContain('axpb: "add %y @ tiny.ts:4:1" binds activation "ax" read, but its slab is always bound read_write');
    const mixed = rules((p, l) => {
      put(at(p, "kernels", 2, "access"), 1, "read");
      put(at(l, "places"), 6, { slab: at(l, "places", 5, "slab"), offset: 256, bytes: 16 });
    });
    expect(mixed).toContain('"tick @ tiny.ts:8:1" binds slab');
    expect(mixed).toContain('both read and read_write: "step" and "sum"');
  });

  it("refuses to write what is only ever read", () => {
    expect(rules((p) => put(at(p, "kernels", 0, "access"), 0, "read_write"))).toContain(
      'axpb: "mul %ax @ tiny.ts:3:1" binds input "axpb.x" read_write, which is only ever read',
    );
  });

  it("refuses writable bindings that overlap, and a storage bound twice", () => {
    const text = rules((_, l) => put(at(l, "places", 6), "offset", 0));
    expect(text).toContain('count: "tick @ tiny.ts:8:1" binds "step" and "sum", which overlap');
    expect(text).toContain('state "step" and state "sum" overlap');
    expect(rules((p) => put(at(p, "entries", 1, "segments", 0, "dispatches", 0, "bindings"), 1, 6))).toContain(
      'binds state "sum" twice',
    );
  });

  it("refuses places off the alignment, past the slab or too small", () => {
    expect(rules((_, l) => put(at(l, "places", 6), "offset", 128))).toContain(
      'state "sum" lies at 128, expected a multiple of 256',
    );
    expect(rules((_, l) => put(at(l, "places", 6), "offset", 512))).toContain('state "sum" ends at byte 528 of slab');
    expect(rules((_, l) => put(at(l, "places", 0), "bytes", 16))).toContain('input "axpb.x" needs 32 bytes, has 16');
    expect(rules((_, l) => put(at(l, "places"), 3, undefined))).toContain('binds activation "ax", which has no place');
  });

  it("refuses slabs and bindings over the limits, and too many of them", () => {
    const { program } = tiny();
    const layout = pack(program, 2);
    const limits = { maxBufferSize: 256, maxStorageBufferBindingSize: 16, maxStorageBuffersPerShaderStage: 4 };
    const text = validateLayout(program, layout, 2, limits).join("\n");
    expect(text).toMatch(/slab \d \(state\) has 512 bytes, maxBufferSize is 256/);
    expect(text).toContain('input "axpb.x" has 32 bytes, maxStorageBufferBindingSize is 16');
    expect(text).toContain('"add %y @ tiny.ts:4:1" binds 5 storages, the limit is 4');
  });

  it("refuses grids that no device can run", () => {
    const text = rules((p) => put(at(p, "entries", 0, "segments", 0, "dispatches", 0), "extent", [2 ** 36]));
    expect(text).toContain("has too large a grid for variant");
  });

  it("refuses activations that live together and overlap, and touches outside of a life", () => {
    const change = (p: Loose, l: Loose) => {
      put(at(p, "storages"), 10, { kind: "activation", name: "other", bytes: 16, entry: "axpb" });
      put(at(p, "entries", 0, "segments", 0, "dispatches", 1, "bindings"), 1, 10);
      put(at(l, "places"), 10, { ...at(l, "places", 3) });
    };
    expect(rules(change)).toContain('axpb: "add %y @ tiny.ts:4:1" makes "ax" and "other" alive at once, and they overlap');
    expect(rules((p) => put(at(p, "storages", 3), "live", [0, 0]))).toContain('touches "ax", which says it lives from 0 to 0');
    expect(rules((p) => put(at(p, "storages", 3), "entry", "count"))).toContain('touches "ax", which belongs to count');
  });

  it("refuses to read an activation before it is written, and outputs that nothing writes", () => {
    expect(rules((p) => put(at(p, "kernels", 0), "effects", ["read", "read", "update"]))).toContain(
      'axpb: "mul %ax @ tiny.ts:3:1" reads "ax" before anything has written it',
    );
    expect(rules((p) => put(at(p, "kernels", 3), "effects", ["read", "read"]))).toContain(
      'count: nothing writes the output "out"',
    );
  });
});
