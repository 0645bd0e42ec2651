/** The name that was probably meant: for "did you mean …?" in the errors of compiler and runtime alike. */

/** The known name with the fewest typing slips from `word`, when there are at most `slips` of them (Levenshtein); case is ignored. */
export function nearest(
  word: string,
  known: readonly string[],
  slips = Math.max(2, Math.floor(word.length / 3)),
): string | undefined {
  const found = known
    .map((name) => ({ name, slips: distance(word.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.slips - b.slips)[0];
  return found && found.slips <= slips ? found.name : undefined;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
