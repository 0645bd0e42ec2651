/**
 * Which groups of nodes must run before which, directly or through others, while groups grow and merge. A row of bits for each group, so
 * that "would merging these two close a circle?" is a question about direct neighbours alone. What a merge changes is handed on from
 * reader to reader and ends where it is no news: in a chain at once, between siblings where their ways meet again. So a merge touches a
 * few rows however deep the model is. All rows lie in one array, which the caches like.
 */
export class Dependences {
  /** A group's row: its own bit, and one for each group that it needs. */
  private readonly needs: Uint32Array;
  private readonly words: number;
  /** Who reads a group directly, by the numbers of that time. */
  private readonly readers: number[][] = [];
  /** The group that each is part of by now; itself at first. */
  private readonly part: number[] = [];

  /** `capacity`: the most groups there will be. */
  constructor(capacity: number) {
    this.words = (capacity + 31) >> 5;
    this.needs = new Uint32Array(capacity * this.words);
  }

  /** A new group that needs these, and all that they need. Groups are numbered 0, 1, 2, … */
  open(direct: Iterable<number>): void {
    const { needs, words } = this;
    const group = this.part.length;
    this.part.push(group);
    this.readers.push([]);
    needs[group * words + (group >> 5)] = 1 << (group & 31);
    for (const g of direct) {
      for (let w = 0; w < words; w++) needs[group * words + w]! |= needs[g * words + w]!;
      this.readers[g]!.push(group);
    }
  }

  /** Whether `a` cannot begin before `b` has ended. */
  has(a: number, b: number): boolean {
    return ((this.needs[a * this.words + (b >> 5)]! >>> (b & 31)) & 1) === 1;
  }

  /** From now on `b` is part of `a`. */
  merge(a: number, b: number): void {
    const { needs, words } = this;
    const [rowA, rowB] = [a * words, b * words];
    needs[rowB + (b >> 5)]! &= ~(1 << (b & 31));
    // Only where the two differ can the union be news to a reader of either: a few words of hundreds.
    const news: number[] = [];
    for (let w = 0; w < words; w++) {
      if (needs[rowA + w] === needs[rowB + w]) continue;
      news.push(w);
      needs[rowA + w]! |= needs[rowB + w]!;
    }
    this.part[b] = a;
    for (const reader of this.readers[b]!) this.readers[a]!.push(reader);
    this.handOn(a, news);
  }

  /** Gives these words of a group's row to all that need it. */
  private handOn(group: number, news: readonly number[]): void {
    const changed = [group];
    for (const g of changed) {
      for (const reader of this.readers[g]!) {
        const r = this.now(reader);
        if (r !== g && this.learns(r, g, news)) changed.push(r);
      }
    }
  }

  /** Adds what `g` needs, in these words, to what `reader` needs. Says whether that was news. */
  private learns(reader: number, g: number, news: readonly number[]): boolean {
    const { needs, words } = this;
    let learnt = false;
    for (const w of news) {
      const more = needs[g * words + w]! & ~needs[reader * words + w]!;
      if (more === 0) continue;
      needs[reader * words + w]! |= more;
      learnt = true;
    }
    return learnt;
  }

  private now(group: number): number {
    let at = group;
    while (this.part[at] !== at) at = this.part[at]!;
    return at;
  }
}
