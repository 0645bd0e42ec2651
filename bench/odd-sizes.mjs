// Products whose sizes divide by nothing, held against the next sizes that do: both by the design that the compiler takes by itself.
import { fromDist } from "../scripts/dist.mjs";
import { bundleOf, inputsOf, kernelsOf, opened, repeated } from "./module.mjs";
import { DEVICES, inTurn, overRounds } from "./ratios.mjs";

/** Rows, columns and terms: of DiT-S's layers, one less each; and of a layer of 49 columns. */
const pairs = [
  { odd: [127, 1151, 383], even: [128, 1152, 384] },
  { odd: [127, 383, 1535], even: [128, 384, 1536] },
  { odd: [511, 1535, 383], even: [512, 1536, 384] },
  { odd: [1021, 49, 127], even: [1024, 52, 128] },
];
const GOAL = 1.3;
/** Least work of one submit. */
const FLOP = 1e8;

/** x · Wᵀ with a bias, dy · W, and dyᵀ · x with the sum of dy, as in a layer and its gradients. */
async function products() {
  const paths = ["builder", "ops/contract", "ops/elementwise", "ops/shape"];
  const [{ Builder }, { dot }, { add }, { expandTo, sum }] = await Promise.all(paths.map((path) => fromDist(`ir/${path}.js`)));
  const made = (results) => {
    const b = new Builder();
    return b.finish("main", results(b, inputsOf(b)));
  };
  return {
    nt: ([m, n, k]) =>
      made((b, input) => {
        const y = dot(b, input("x", "row in", m, k), input("w", "out in", n, k), { over: ["in"] });
        return [{ name: "y", value: add(b, y, expandTo(b, input("bias", "out", n), y.type)) }];
      }),
    nn: ([m, n, k]) =>
      made((b, input) => [
        { name: "dx", value: dot(b, input("dy", "row out", m, k), input("w", "out in", k, n), { over: ["out"] }) },
      ]),
    tn: ([m, n, k]) =>
      made((b, input) => {
        const dy = input("dy", "row out", k, m);
        return [
          { name: "dw", value: dot(b, dy, input("x", "row in", k, n), { over: ["row"] }) },
          { name: "db", value: sum(b, dy, { over: ["row"] }) },
        ];
      }),
  };
}

/** Rows for the report of ratios. */
export async function oddSizesJob(runs) {
  const { requestDevice } = await fromDist("runtime/node/dawn.js");
  const forms = await products();
  const cases = pairs.flatMap(({ odd, even }) =>
    Object.entries(forms).map(([form, fnOf]) => ({ form, fnOf, odd, even, rounds: [] })),
  );
  let dawn;
  for (let i = 0; i < DEVICES; i++) {
    dawn = await requestDevice();
    for (const one of cases) {
      const repeat = Math.max(1, Math.round(FLOP / one.even.reduce((a, b) => a * b, 2)));
      const both = [];
      for (const sizes of [one.odd, one.even]) both.push(await opened(bundleOf(kernelsOf(one.fnOf(sizes)), { repeat }), dawn));
      const ways = both.map(({ whole }) => repeated(whole, repeat));
      one.rounds.push(...(await inTurn(ways, runs)).rounds);
      one.names = both.map(({ session }) => session.variants[0].variant);
      for (const { session } of both) session.dispose();
    }
  }
  const rows = cases.map(({ form, odd, even, names, rounds }) => ({
    what: `${form} ${odd.join(" × ")}, ${names[0]}, to ${even.join(" × ")}, ${names[1]}`,
    ...overRounds(rounds),
    goal: GOAL,
  }));
  return { adapter: dawn.info.description, driver: dawn.kind, ways: ["odd", "dividing"], rows };
}
