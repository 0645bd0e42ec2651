/** What the demo requires, and what it says where it requires nothing. */
import { expect, test } from "vitest";
import { figures, judge, lossesOf, type Outcome } from "../../src/trainer/judge.js";

const good: Outcome = {
  images: 150_000,
  loss: { first: 1, last: 0.06 },
  measures: {
    ...{ accuracy: { samples: 0.6, real: 0.87 }, nearest: { samples: 9.4, real: 6.8 } },
    ...{ within: { samples: 8.75, real: 17.5 }, distinct: { samples: 1, real: 1 } },
  },
};
const with_ = (measures: Partial<Outcome["measures"]>, images = good.images): Outcome => ({
  ...good,
  images,
  measures: { ...good.measures, ...measures },
});

test("the bounds themselves are good enough, and what is past them is a sentence", () => {
  expect(judge(good)).toEqual([]);
  expect(judge(with_({ accuracy: { samples: 0.59, real: 0.87 } }))).toEqual([
    "59 % of the pictures get their class; 60 % are required",
  ]);
  expect(judge(with_({ within: { samples: 8.74, real: 17.5 } }))).toEqual([
    "the distance between pictures of a class is 8.74; at least half of 17.50, that between real ones, is required: " +
      "the pictures are blurred means, or all alike",
  ]);
  expect(judge({ ...good, loss: { first: 1, last: 0.51 } })).toEqual([
    "the loss is 0.510; at most half of the first, 1.000, is required",
  ]);
});

test("what is not a number is missed", () => {
  const none = { samples: Number.NaN, real: Number.NaN };
  expect(
    judge({ images: 1e6, loss: { first: Number.NaN, last: 1 }, measures: { ...good.measures, accuracy: none, within: none } }),
  ).toHaveLength(3);
});

test("a run that saw few images is told what to expect, and its accuracy is no miss", () => {
  const few = with_({ accuracy: { samples: 0.2, real: 0.87 } }, 25_000);
  expect(judge(few)).toEqual([]);
  expect(judge({ ...few, images: 79_999 })).toEqual([]);
  expect(judge({ ...few, images: 80_000 })).toHaveLength(1);
  expect(figures(few)).toEqual([
    "                                            drawn   real",
    "get their class from 5 nearest neighbours    20 %   87 %",
    "median distance to a training image          9.40   6.80  far smaller than real: copies",
    "median distance within a class               8.75  17.50  required: half of the real one",
    "distinct pictures                           100 %  100 %",
    "about 28 % get their class after 25,000 images; 60 % are required from 80,000 on, for which a faster driver or more time is needed",
  ]);
  expect(figures(good).join("\n")).toContain("87 %  required: 60 %");
  expect(figures(good)).toHaveLength(5);
});

test("the last loss is a mean of a few, and one that is not finite shows", () => {
  const record = (loss: number | null, step: number) => ({
    ...{ step, loss, gradientNorm: 1, skipped: 0, imagesPerSecond: 1, seconds: 1, memory: 1 },
  });
  expect(lossesOf([1, 0.5, 0.4, 0.3, 0.2, 0.1].map(record))).toEqual({ first: 1, last: expect.closeTo(0.15, 12) });
  expect(lossesOf([1, 0.5, null].map(record)).last).toBeNaN();
  expect(lossesOf([]).first).toBeNaN();
});
