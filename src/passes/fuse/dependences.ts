/**
 * Which groups of nodes must run before which, directly or through others, while groups grow and merge. A row of bits for each group, so
 * that "would merging these two close a circle?" is a question about direct neighbours alone. Merging asks every group that is left; all
 * rows lie in one array, which the caches like: for DiT-XL/2 that is a few MB, asked thousands of times.
 */
export class Dependences {
  private readonly needs: Uint32Array;
  /** Groups that are not part of another by now, in no order. Most are short-lived, and nobody asks about them again. */
  private readonly alive: number[] = [];
  /** Where each stands among them. */
  private readonly places: number[] = [];
  private readonly words: number;

  /** `capacity`: the most groups there will be. */
  constructor(capacity: number) {
    this.words = (capacity + 31) >> 5;
    this.needs = new Uint32Array(capacity * this.words);
  }

  /** A new group that needs these, and all that they need. Groups are numbered 0, 1, 2, … */
  open(direct: Iterable<number>): void {
    const group = this.places.length;
    for (const g of direct) this.addTo(group, g);
    this.places.push(this.alive.push(group) - 1);
  }

  /** Whether `a` cannot begin before `b` has ended. */
  has(a: number, b: number): boolean {
    return ((this.needs[a * this.words + (b >> 5)]! >>> (b & 31)) & 1) === 1;
  }

  /** From now on `b` is part of `a`. */
  merge(a: number, b: number): void {
    const { needs, words, alive } = this;
    const [union, more] = [a * words, b * words];
    // What needs `a` has all that `a` needed before, so that only the news must be handed on: a few words of hundreds.
    const news: number[] = [];
    for (let w = 0; w < words; w++) {
      if ((needs[more + w]! & ~needs[union + w]!) !== 0) news.push(w);
      needs[union + w]! |= needs[more + w]!;
    }
    // Merged, they do not wait for each other.
    for (const g of [a, b]) needs[union + (g >> 5)]! &= ~(1 << (g & 31));
    this.remove(b);
    const [wordA, bitA, wordB, bitB] = [a >> 5, 1 << (a & 31), b >> 5, 1 << (b & 31)];
    for (let i = 0; i < alive.length; i++) {
      const row = alive[i]! * words;
      if (row === union) continue;
      if ((needs[row + wordA]! & bitA) !== 0) for (const w of news) needs[row + w]! |= needs[union + w]!;
      else if ((needs[row + wordB]! & bitB) !== 0) this.addTo(alive[i]!, a);
    }
  }

  private remove(g: number): void {
    const [place, last] = [this.places[g]!, this.alive.pop()!];
    if (last === g) return;
    this.alive[place] = last;
    this.places[last] = place;
  }

  private addTo(group: number, g: number): void {
    const { needs, words } = this;
    for (let w = 0; w < words; w++) needs[group * words + w]! |= needs[g * words + w]!;
    needs[group * words + (g >> 5)]! |= 1 << (g & 31);
  }
}
