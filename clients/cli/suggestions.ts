/**
 * Names what an unknown option or subcommand is meant for where commander does not: it compares letters, so `--environment` is far from
 * `--env`.
 */

import { type Command, CommanderError } from 'commander';
import { meant } from '../../src/contract/nearest.ts';

/** Fewer letters begin too many words. */
const letterCountMin = 3;

/** An error of a command's arguments, with a suggestion for what is unknown if there is one and commander has made none. */
export function withSuggestion(given: CommanderError, command: Command): CommanderError {
  const error = withUnknownFirst(given, command);
  const isUnknownCommand = /^error: unknown command '[^']*'$/.test(error.message);
  // The top command has too many for a line.
  if (isUnknownCommand && command.parent !== null) {
    const names = command.commands.map((child) => child.name());
    return withLine(error, `(Expected one of ${names.join(', ')})`);
  }
  const flag = /^error: unknown option '(--[^'=]+)(?:=.*)?'$/s.exec(error.message)?.[1];
  if (flag === undefined) return error;
  const owners = command.commands.filter((child) => longFlagsOf(child).includes(flag)).map((child) => child.name());
  const suggestion = owners.length > 0 ? orderOf(owners, command, flag) : suggestionFor(flag, longFlagsOf(command));
  return suggestion === undefined ? error : withLine(error, `(${suggestion})`);
}

/** A required option that is misspelt is missing, too: what is unknown says more. */
function withUnknownFirst(error: CommanderError, { args }: Command): CommanderError {
  const unknown = args.find((word) => word.startsWith('-'));
  if (error.code !== 'commander.missingMandatoryOptionValue' || unknown === undefined) return error;
  return new CommanderError(error.exitCode, 'commander.unknownOption', `error: unknown option '${unknown}'`);
}

/** The flag is of subcommands, of which none was named before it. */
const orderOf = (owners: readonly string[], command: Command, flag: string): string =>
  `Name one of ${owners.join(', ')} first: ${command.name()} ${owners.at(-1)!} ${flag} ...`;

function suggestionFor(flag: string, known: readonly string[]): string | undefined {
  const near = meant(nameOf(flag), known.map(nameOf));
  const name = alike(flag, known)[0] ?? (near && `--${near}`);
  return name && `Did you mean ${name}?`;
}

/** Without its dashes. */
const nameOf = (flag: string): string => flag.slice(2);

const withLine = ({ exitCode, code, message }: CommanderError, line: string): CommanderError =>
  new CommanderError(exitCode, code, `${message}\n${line}`);

/** Those that begin the given one, or of which it is the beginning; the most alike first. */
function alike(given: string, known: readonly string[]): string[] {
  const shared = (name: string) => commonLength(nameOf(name), nameOf(given));
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
