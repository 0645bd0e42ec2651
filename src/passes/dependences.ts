/**
 * Which groups of nodes must run before which, directly or through others, while groups grow and merge. A set of bits for each group,
 * so that "would merging these two close a circle?" is a question about direct neighbours alone.
 */
export class Dependences {
  private readonly needs: Uint32Array[] = [];
  private readonly words: number;

  /** `capacity`: the most groups there will be. */
  constructor(capacity: number) {
    this.words = (capacity + 31) >> 5;
  }

  /** A new group that needs these, and all that they need. Groups are numbered 0, 1, 2, … */
  open(direct: Iterable<number>): void {
    const needs = new Uint32Array(this.words);
    for (const g of direct) this.addTo(needs, g);
    this.needs.push(needs);
  }

  /** Whether `a` cannot begin before `b` has ended. */
  has(a: number, b: number): boolean {
    return ((this.needs[a]![b >> 5]! >>> (b & 31)) & 1) === 1;
  }

  /** From now on `b` is part of `a`. */
  merge(a: number, b: number): void {
    const union = this.needs[a]!;
    for (let w = 0; w < this.words; w++) union[w]! |= this.needs[b]![w]!;
    // Merged, they do not wait for each other.
    for (const g of [a, b]) union[g >> 5]! &= ~(1 << (g & 31));
    for (let g = 0; g < this.needs.length; g++) {
      if (g !== a && g !== b && (this.has(g, a) || this.has(g, b))) this.addTo(this.needs[g]!, a);
    }
  }

  private addTo(needs: Uint32Array, g: number): void {
    const more = this.needs[g]!;
    for (let w = 0; w < this.words; w++) needs[w]! |= more[w]!;
    needs[g >> 5]! |= 1 << (g & 31);
  }
}
