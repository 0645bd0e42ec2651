// A device is kept at work by passes that are submitted one after the other, as long as was asked for.
import { expect, test } from "vitest";
import { keepBusy } from "../../src/profiler/busy.js";

const PASS_MS = 3;

test("passes are submitted until the time is over, without waiting for the device in between, and one at least", async () => {
  const submitted: unknown[][] = [];
  // As a session does it: a submit waits while two others are on the way. Anything else is not there to be called.
  const session = {
    submit: async (...args: unknown[]) => {
      submitted.push(args);
      await new Promise((resolve) => setTimeout(resolve, PASS_MS));
    },
  };
  const begin = performance.now();
  await keepBusy(session, "forward", 60);
  expect(performance.now() - begin).toBeGreaterThanOrEqual(60);
  expect(submitted.length).toBeGreaterThan(2);
  expect(submitted.length).toBeLessThanOrEqual(1 + 60 / (PASS_MS - 1));
  // The inputs stay, nothing is timed, and repeated segments run once.
  expect(new Set(submitted.map((args) => JSON.stringify(args)))).toEqual(new Set(['["forward",null,{"from":0}]']));
  submitted.length = 0;
  await keepBusy(session, "forward", 0);
  expect(submitted).toHaveLength(1);
});
