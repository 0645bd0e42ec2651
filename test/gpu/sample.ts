/**
 * A driver compiles a kernel in seconds, and kernels with their choices, forms and sizes are many. So `npm test` takes a few cases of each
 * choice, drawn anew for each commit (`DIT_CHOICES_SEED`, which it prints); `npm run test:choices` takes them all.
 */
import { random } from "../random-numbers.js";

const all = process.env.DIT_CHOICES === "all";

/**
 * Whether this project stands for its driver. Else it is there for its subgroup width: kernels that have no subgroups are the same texts on
 * the same driver as in that project, and need not run twice.
 */
export const whole = all || process.env.DIT_TEST_WHOLE === "1";
const seed = Number(process.env.DIT_CHOICES_SEED ?? 1);

/**
 * Of cases that each of the two drivers would prove, every other: the rest is proved on the other driver, and the two change about from
 * commit to commit. On a GPU, and for `npm run test:choices`, all of them.
 */
export function shared<T>(cases: readonly T[]): readonly T[] {
  const driver = ["lavapipe", "swiftshader"].indexOf((process.env.DIT_TEST_PROJECT ?? "").replace(/-\d+$/, ""));
  return all || driver < 0 ? cases : cases.filter((_, i) => (i + seed + driver) % 2 === 0);
}

/** So many of the cases, in their order; `what` makes draws of one seed differ. */
export function sample<T>(what: string, cases: readonly T[], count: number): readonly T[] {
  if (all || count >= cases.length) return cases;
  const draw = random([...what].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) >>> 0, seed));
  const left = cases.map((_, i) => i);
  const taken = Array.from({ length: count }, () => left.splice(draw.below(left.length), 1)[0]!);
  return taken.sort((a, b) => a - b).map((i) => cases[i]!);
}
