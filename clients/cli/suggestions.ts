/**
 * Names what an unknown option or subcommand is meant for where commander does not: it compares letters, so `--environment` is far from
 * `--env`.
 */

import { type Command, CommanderError } from 'commander';

/** Fewer letters begin too many words. */
const letterCountMin = 3;

/** An error of a command's arguments, with a suggestion for what is unknown if there is one and commander has made none. */
export function withSuggestion(error: CommanderError, command: Command): CommanderError {
  const isUnknownCommand = /^error: unknown command '[^']*'$/.test(error.message);
  // The top command has too many for a line.
  if (isUnknownCommand && command.parent !== null) {
    const names = command.commands.map((child) => child.name());
    return new CommanderError(error.exitCode, error.code, `${error.message}\n(Expected one of ${names.join(', ')})`);
  }
  const flag = /^error: unknown option '(--[^']+)'$/.exec(error.message)?.[1];
  const [name] = flag === undefined ? [] : alike(flag, longFlagsOf(command));
  if (name === undefined) return error;
  return new CommanderError(error.exitCode, error.code, `${error.message}\n(Did you mean ${name}?)`);
}

/** Those that begin the given one, or of which it is the beginning; the most alike first. */
function alike(given: string, known: readonly string[]): string[] {
  const shared = (name: string) => commonLength(name.slice(2), given.slice(2));
  const fits = (name: string) => {
    const length = shared(name);
    return length >= letterCountMin && (length === name.length - 2 || length === given.length - 2);
  };
  return known.filter(fits).toSorted((a, b) => shared(b) - shared(a) || a.length - b.length);
}

function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

const longFlagsOf = (command: Command): string[] =>
  command.options.flatMap(({ long, hidden }) => (long === undefined || long === null || hidden ? [] : [long]));
