/**
 * What a design would be news for: work for which the device would run a text of that design that has not been measured yet. Where a design
 * does not apply, another one runs in its place, which had better not be measured under its name.
 */
import { designOf, isOfDesign } from "../codegen/kernels/matmul.js";
import { MOST_TEXT } from "../compile/choices.js";
import type { Bundle, Dispatch } from "../program/program.js";
import { type DeviceFacts, selectVariant } from "../runtime/device.js";
import { placesOf } from "./places.js";

/** What the device takes for a work: the name of its first dispatch's variant, and all of its texts. */
interface Taken {
  readonly variant: string;
  readonly text: string;
}

export class Untried {
  private readonly measured = new Map<string, Set<string>>();

  /** `own`: what every other way is measured beside. */
  constructor(
    own: Bundle,
    private readonly facts: DeviceFacts,
  ) {
    for (const [key, { text }] of this.takenOf(own)) this.measured.set(key, new Set([text]));
  }

  /**
   * The keys of the work, among these, that is to be measured in a program in which they all have the choice, and how many are not for the
   * length of their texts.
   */
  of(choice: string, made: Bundle, among: readonly string[]): { keys: string[]; tooLong: number } {
    const { design } = designOf(choice);
    const taken = this.takenOf(made);
    const news = among.filter((key) => {
      const { variant, text } = taken.get(key)!;
      return (design === undefined || isOfDesign(variant, design)) && !this.measured.get(key)!.has(text);
    });
    const keys = news.filter((key) => taken.get(key)!.text.length <= MOST_TEXT);
    return { keys, tooLong: news.length - keys.length };
  }

  /** These have been measured now. */
  note(keys: readonly string[], made: Bundle): void {
    const taken = this.takenOf(made);
    for (const key of keys) this.measured.get(key)!.add(taken.get(key)!.text);
  }

  private takenOf({ program, wgsl }: Bundle): Map<string, Taken> {
    const variantOf = ({ kernel }: Dispatch) => selectVariant(program.kernels[kernel]!, program, this.facts).variant;
    return new Map(
      [...placesOf(program, program.entries[0]!)].map(([key, { dispatches }]) => {
        const variants = dispatches.map(variantOf);
        return [key, { variant: variants[0]!.name, text: variants.map(({ file }) => wgsl[file]!).join("\n") }];
      }),
    );
  }
}
