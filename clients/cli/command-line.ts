/** Commands as a person gives them to a shell. */

/** A line that a POSIX shell takes apart into these words. */
export const commandLine = (words: readonly string[]): string => words.map(quotedWord).join(' ');

const quotedWord = (word: string): string =>
  /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
