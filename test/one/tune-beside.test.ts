// How two programs are held beside each other: on a GPU what is timed comes right behind passes that keep it busy; a CPU is spared those.
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { type Remaker, remakerOf } from "../../src/compile/lower-again.js";
import { rememberInfo } from "../../src/runtime/device.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { Session } from "../../src/runtime/session.js";
import { Beside } from "../../src/tuner/beside.js";
import { placesOf } from "../../src/tuner/places.js";

const ROUNDS = 2;
let remade: Remaker;
let dawn: DawnDevice;
beforeAll(async () => {
  const options = { preset: "tiny", batch: 4, entries: ["forward"] };
  remade = remakerOf((await compile("models/mlp.graph.ts", options)).bundle, "forward", 4);
});
afterEach(() => {
  vi.restoreAllMocks();
  dawn?.dispose();
});
afterAll(() => dawn?.dispose());

/** What sessions were asked to do while two were held beside each other: s: a pass, t: one with timestamps, i: waiting for the device. */
async function calls(hardware: boolean, measure: (beside: Beside, other: Session, keys: string[]) => Promise<unknown>) {
  dawn = await requestDevice();
  // The kernels that this device takes do not matter here, but what it says of itself.
  const told = new Proxy(dawn.info, {
    get: (info, name) => (name === "isFallbackAdapter" ? !hardware : Reflect.get(info, name, info)),
  });
  rememberInfo(dawn.device, told);
  const own = remade.make({});
  const beside = await Beside.open(own, dawn.device, { entry: remade.entry, batch: 4, rounds: ROUNDS });
  const said: string[] = [];
  try {
    await beside.with(remade.make({}), async (other, difference) => {
      expect(difference).toBeUndefined();
      const [submit, idle] = [Session.prototype.submit, Session.prototype.idle];
      vi.spyOn(Session.prototype, "submit").mockImplementation(function (this: Session, ...args) {
        said.push(`${this === other ? "other" : "own"} ${args[2]?.timestamps ? "t" : "s"}`);
        return submit.apply(this, args);
      });
      vi.spyOn(Session.prototype, "idle").mockImplementation(function (this: Session) {
        said.push(`${this === other ? "other" : "own"} i`);
        return idle.apply(this);
      });
      await measure(beside, other, [...placesOf(own.program, own.program.entries[0]!).keys()]);
    });
  } finally {
    beside.dispose();
  }
  return said;
}

/** Equal neighbours as one. */
const runs = (said: readonly string[]) => said.filter((text, i) => text !== said[i - 1]);
const inTurn = (each: (who: string) => string[]) =>
  Array.from({ length: ROUNDS + 1 }, () => ["own", "other"].flatMap(each)).flat();

test("a timed pass of a GPU comes right behind others of the same program, and the two take turns", async () => {
  const said = await calls(true, (beside, other, keys) => beside.dispatches(other, keys));
  expect(runs(said)).toEqual(inTurn((who) => [`${who} s`, `${who} t`, `${who} i`]));
  expect(said.filter((text) => text.endsWith("s")).length).toBeGreaterThan(2 * 2 * (ROUNDS + 1));
});

test("so do passes by the host's clock, when the device has done the others", async () => {
  const said = await calls(true, (beside, other) => beside.passes(other));
  expect(runs(said)).toEqual(inTurn((who) => [`${who} s`, `${who} i`, `${who} s`, `${who} i`]));
});

test("a CPU that stands in for a GPU runs nothing but what is timed", async () => {
  const dispatches = await calls(false, (beside, other, keys) => beside.dispatches(other, keys.slice(0, 1)));
  expect(dispatches).toEqual(inTurn((who) => [`${who} t`, `${who} i`]));
  dawn.dispose();
  vi.restoreAllMocks();
  const passes = await calls(false, (beside, other) => beside.passes(other));
  expect(runs(passes)).toEqual(
    inTurn((who) => [`${who} i`, `${who} s`, `${who} i`]).filter((_, i, all) => all[i] !== all[i - 1]),
  );
});
