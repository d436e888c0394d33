/**
 * Calls into a user's environment file: what it throws and what it gives wrongly becomes an error that names the file, the member,
 * the episode and the step, and where it can the line.
 */

import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type HyperpolicyError, invalidArgument, quoted } from '../contract/errors.ts';
import { enterMember, enterStep, leaveMember, placeText, type UserMember } from './user-code-trail.ts';

/** The largest finite float32: what trainers and servers compute in. */
const float32Max = (2 - 2 ** -23) * 2 ** 127;

export type UserCode = {
  /**
   * Runs a member, or reads what it gave, which may run code of the user's as well. Refusals made here pass.
   * @throws HyperpolicyError invalid_argument: it threw, or gave a promise
   */
  call<T>(member: UserMember, run: () => T): T;
  /** The error for what a member gave. */
  refusal(member: string, expected: string, actual: string, remedy?: string): HyperpolicyError;
  /** @throws HyperpolicyError invalid_argument: not a number, not finite, or beyond float32 */
  checkNumber(member: string, what: string, value: unknown): void;
  /** @throws HyperpolicyError invalid_argument: another length, or a value that checkNumber refuses */
  checkNumbers(member: string, what: string, values: unknown, names: readonly string[]): void;
  /** @throws HyperpolicyError invalid_argument */
  checkBoolean(member: string, what: string, value: unknown): void;
  /** Notes where it is from here on, for the errors. */
  beginEpisode(): void;
  beginStep(): void;
  /** @param stepCount steps of the episode that was taken back */
  restoreEpisode(stepCount: number): void;
};

/** @param path of the file as the user named it, @param file the same absolute */
export function createUserCode(path: string, file: string): UserCode {
  let episodeCount = 0;
  let stepCount = 0;
  let isRestored = false;

  const episode = () => (isRestored ? -1 : episodeCount);
  const place = () => placeText(episode(), stepCount);

  const refusals = new WeakSet<Error>();
  const refusal: UserCode['refusal'] = (member, expected, actual, remedy) => {
    const error = invalidArgument({ where: `${path} ${member}${place()}`, expected, actual, remedy });
    refusals.add(error);
    return error;
  };

  function checkNumber(member: string, what: string, value: unknown): void {
    if (typeof value === 'number' && Math.abs(value) <= float32Max) return;
    const isLarge = typeof value === 'number' && Number.isFinite(value);
    throw refusal(member, `${what} to be a finite number${isLarge ? ' that float32 can hold' : ''}`, shown(value));
  }

  return {
    refusal,
    checkNumber,
    call(member, run) {
      let value: ReturnType<typeof run>;
      enterStep(episode(), stepCount);
      enterMember(member);
      try {
        value = run();
      } catch (cause) {
        if (cause instanceof Error && refusals.has(cause)) throw cause;
        throw invalidArgument({
          where: `${path} ${member}${place()}`,
          expected: 'no exception',
          actual: thrownText(cause, file),
          cause,
        });
      } finally {
        leaveMember();
      }
      if (isPromise(value)) {
        // Its own failure would otherwise end the process first.
        Promise.resolve(value).catch(() => {});
        throw refusal(
          member,
          'a value at once',
          'a promise',
          'Environments are synchronous: leave out async and await',
        );
      }
      return value;
    },
    checkNumbers(member, what, values, names) {
      const list = values as ArrayLike<unknown> | null | undefined;
      if (typeof list !== 'object' || list === null || list.length !== names.length) {
        const actual = typeof list === 'object' && list !== null && 'length' in list ? `${list.length}` : shown(list);
        throw refusal(member, `${what} of ${names.length} values (${names.join(', ')})`, actual);
      }
      for (let i = 0; i < names.length; i++) checkNumber(member, `${what} value ${i} (${names[i]})`, list[i]);
    },
    checkBoolean(member, what, value) {
      if (typeof value !== 'boolean') throw refusal(member, `${what} to be true or false`, shown(value));
    },
    beginEpisode() {
      episodeCount++;
      stepCount = 0;
      isRestored = false;
    },
    beginStep() {
      stepCount++;
    },
    restoreEpisode(count) {
      stepCount = count;
      isRestored = true;
    },
  };
}

/** A value as an error shows it: texts in quotes, anything that is not plain by its kind. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `the text ${quoted(value)}`;
  if (isPromise(value)) return 'a promise';
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return `an object (${value.constructor?.name ?? 'without a class'})`;
  return typeof value === 'bigint' ? `the BigInt ${value}` : String(value);
}

/** What was thrown, with the place in the user's own file where the stack has one. */
export function thrownText(thrown: unknown, file: string): string {
  if (!(thrown instanceof Error)) return `${shown(thrown)}, which is no Error and has no line`;
  const at = lineIn(thrown, file);
  const text = String(thrown).split('\n')[0]!;
  return at === undefined ? text : `${text} at ${basename(file)}:${at}`;
}

/** `line` or `line:column` of the first frame in the file. */
function lineIn({ stack = '' }: Error, file: string): string | undefined {
  for (const line of stack.split('\n')) {
    for (const name of [pathToFileURL(file).href, file]) {
      const at = line.indexOf(name);
      // An import may have put a query behind the name.
      const found = at < 0 ? null : /^(?:\?[^:]*)?:(\d+(?::\d+)?)/.exec(line.slice(at + name.length));
      if (found !== null) return found[1];
    }
  }
  return undefined;
}

const isPromise = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
