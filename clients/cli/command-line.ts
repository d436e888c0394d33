/** Commands as a person gives them to a shell. */

/** How this program was called: npm sets the variable for what npx runs. */
export const ownCommand = ({ npm_command: by }: NodeJS.ProcessEnv): readonly string[] =>
  by === 'exec' ? ['npx', 'hyperpolicy'] : ['hyperpolicy'];

/** A line that a POSIX shell takes apart into these words. */
export const commandLine = (words: readonly string[]): string => words.map(quotedWord).join(' ');

/** The command by which a run goes on. @param more words, such as `--publish best` */
export const resumeCommand = (algorithm: string, runDirectory: string, more: readonly string[] = []): string =>
  commandLine([...ownCommand(process.env), 'train', algorithm, '--run', runDirectory, '--resume', ...more]);

const quotedWord = (word: string): string =>
  /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
