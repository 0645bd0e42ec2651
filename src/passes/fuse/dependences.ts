/**
 * Which groups of nodes must run before which, directly or through others, while groups grow and merge. A set of bits for each group,
 * so that "would merging these two close a circle?" is a question about direct neighbours alone.
 */
export class Dependences {
  private readonly needs: Uint32Array[] = [];
  /** Groups that are not part of another by now. Most are short-lived, and nobody asks about them again. */
  private readonly alive = new Set<number>();
  private readonly words: number;

  /** `capacity`: the most groups there will be. */
  constructor(capacity: number) {
    this.words = (capacity + 31) >> 5;
  }

  /** A new group that needs these, and all that they need. Groups are numbered 0, 1, 2, … */
  open(direct: Iterable<number>): void {
    const needs = new Uint32Array(this.words);
    for (const g of direct) this.addTo(needs, g);
    this.alive.add(this.needs.push(needs) - 1);
  }

  /** Whether `a` cannot begin before `b` has ended. */
  has(a: number, b: number): boolean {
    return ((this.needs[a]![b >> 5]! >>> (b & 31)) & 1) === 1;
  }

  /** From now on `b` is part of `a`. */
  merge(a: number, b: number): void {
    const [union, more] = [this.needs[a]!, this.needs[b]!];
    // What needs `a` has all that `a` needed before, so that only the news must be handed on: a few words of hundreds.
    const news: number[] = [];
    for (let w = 0; w < this.words; w++) {
      if ((more[w]! & ~union[w]!) !== 0) news.push(w);
      union[w]! |= more[w]!;
    }
    // Merged, they do not wait for each other.
    for (const g of [a, b]) union[g >> 5]! &= ~(1 << (g & 31));
    this.alive.delete(b);
    for (const g of this.alive) {
      if (g === a) continue;
      const needs = this.needs[g]!;
      if (this.has(g, a)) for (const w of news) needs[w]! |= union[w]!;
      else if (this.has(g, b)) this.addTo(needs, a);
    }
  }

  private addTo(needs: Uint32Array, g: number): void {
    const more = this.needs[g]!;
    for (let w = 0; w < this.words; w++) needs[w]! |= more[w]!;
    needs[g >> 5]! |= 1 << (g & 31);
  }
}
