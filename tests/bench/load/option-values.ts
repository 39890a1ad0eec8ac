/**
 * Values of the load programs' options, checked. What is wrong is named with its option.
 */

/** @throws Error when `word` is no whole number, or less than `least`. */
export function wholeNumber(name: string, word: string, least: number): number {
  const value = Number(word);
  if (!Number.isInteger(value) || value < least) {
    throw new Error(`--${name} ${word}: not a whole number from ${least} on`);
  }
  return value;
}

/** @throws Error when `word` is no number, or not within both ends. */
export function numberWithin(name: string, word: string, least: number, most: number): number {
  const value = Number(word);
  if (!(value >= least && value <= most)) {
    const range = most === Infinity ? `a number from ${least} on` : `within ${least} and ${most}`;
    throw new Error(`--${name} ${word}: not ${range}`);
  }
  return value;
}

/** @throws Error when `word` is none of the choices. */
export function oneOf<Choice extends string>(name: string, word: string, choices: readonly Choice[]): Choice {
  const choice = choices.find((candidate) => candidate === word);
  if (choice === undefined) throw new Error(`--${name} ${word}: not one of ${choices.join(", ")}`);
  return choice;
}
