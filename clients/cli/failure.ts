/** Errors as the command line shows them: one line, and an exit code that scripts can rely on. */

import { CommanderError } from 'commander';

export const exitCodes = {
  ok: 0,
  /** The command was understood and could not be done. */
  failure: 1,
  /** The command was not understood: an unknown flag or subcommand, a value that does not parse. */
  usage: 2,
} as const;

/** The line for an error, without a stack. */
export function failureText(error: unknown): { readonly text: string; readonly exitCode: number } {
  if (error instanceof CommanderError) {
    if (error.code === 'commander.help') {
      return { text: 'expected a subcommand. See --help', exitCode: exitCodes.usage };
    }
    const text = error.message
      .replace(/^error: /, '')
      .replace(/\s*\n\s*/g, ' ')
      .replace(/\.$/, '');
    return { text: `${text}${/See --help|Did you mean/.test(text) ? '' : '. See --help'}`, exitCode: exitCodes.usage };
  }
  const text = error instanceof Error ? error.message : String(error);
  return { text: text.replace(/\s*\n\s*/g, ' '), exitCode: exitCodes.failure };
}
