/**
 * The known name that somebody who mistyped one probably meant, for "did you mean" in error lines.
 * Stands between an unknown flag or command and its error.
 *
 * Invariant: at most two typing mistakes, or a name cut short, lead to a suggestion; anything further gets none.
 */

const mistakesMax = 2;
const prefixLengthMin = 4;

/** The nearest of `known` to `word`, or undefined when none is near. Upper case and `_` for `-` count as no mistake. */
export function suggestName(word: string, known: readonly string[]): string | undefined {
  const wanted = word.toLowerCase().replaceAll("_", "-");
  let nearest: string | undefined;
  let nearestMistakes = Math.min(mistakesMax, Math.floor(wanted.length / 2)) + 1;
  for (const name of known) {
    if (Math.abs(name.length - wanted.length) > mistakesMax) continue;
    const mistakes = typingMistakes(wanted, name);
    if (mistakes < nearestMistakes) {
      nearest = name;
      nearestMistakes = mistakes;
    }
  }
  if (nearest !== undefined || wanted.length < prefixLengthMin) return nearest;
  return known.find((name) => name.startsWith(wanted));
}

/** Levenshtein's distance: insertions, deletions and replacements of one letter, kept as one row of the table. */
function typingMistakes(left: string, right: string): number {
  let previousRow = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const currentRow = [row];
    for (let column = 1; column <= right.length; column++) {
      const replaced = (previousRow[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1);
      const removed = (previousRow[column] ?? 0) + 1;
      const added = (currentRow[column - 1] ?? 0) + 1;
      currentRow.push(Math.min(replaced, removed, added));
    }
    previousRow = currentRow;
  }
  return previousRow[right.length] ?? 0;
}
