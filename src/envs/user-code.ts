/**
 * Calls into a user's environment file: what it throws and what it gives wrongly becomes an error that names the file, the member,
 * the episode and the step, and where it can the line.
 */

import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import { float32Max } from '../contract/bounds.ts';
import { type HyperpolicyError, invalidArgument, quoted } from '../contract/errors.ts';
import { enterMember, enterStep, leaveMember, placeText, type UserMember } from './user-code-trail.ts';

export type UserCode = {
  /**
   * Runs a member, or reads what it gave: reading may run the user's code too. Errors made by `refusal` pass unchanged.
   * @throws HyperpolicyError invalid_argument: it threw, or gave a promise
   */
  call<T>(member: UserMember, run: () => T): T;
  /**
   * Fields of what a member gave, each read once, within `call`.
   * @param prefix of their names in errors
   * @throws HyperpolicyError invalid_argument: one threw
   */
  fields<Name extends string>(
    member: string,
    given: Readonly<Partial<Record<Name, unknown>>>,
    names: readonly Name[],
    prefix?: string,
  ): Record<Name, unknown>;
  /** The error for what a member gave. */
  refusal(member: string, expected: string, actual: string, remedy?: string): HyperpolicyError;
  /** @throws HyperpolicyError invalid_argument: not a number, not finite, or beyond float32 */
  checkNumber(member: string, what: string, value: unknown): void;
  /** @throws HyperpolicyError invalid_argument: another length, or a value that checkNumber refuses */
  checkNumbers(member: string, what: string, values: unknown, names: readonly string[]): void;
  /** @throws HyperpolicyError invalid_argument: an array of a state with a value that is not finite */
  checkState(member: string, name: string, values: Float64Array): void;
  /** @throws HyperpolicyError invalid_argument */
  checkBoolean(member: string, what: string, value: unknown): void;
  /** Records the place in the run, for errors. */
  beginEpisode(): void;
  beginStep(): void;
  /** @param stepCount steps of the episode that was taken back */
  restoreEpisode(stepCount: number): void;
};

/** @param path of the file as the user named it, @param file the same absolute */
export const createUserCode = (path: string, file: string): UserCode => new FileCode(path, file);

class FileCode implements UserCode {
  readonly #path: string;
  readonly #file: string;
  readonly #refusals = new WeakSet<Error>();
  #episodeCount = 0;
  #stepCount = 0;
  #isRestored = false;

  constructor(path: string, file: string) {
    this.#path = path;
    this.#file = file;
  }

  refusal(member: string, expected: string, actual: string, remedy?: string): HyperpolicyError {
    const error = invalidArgument({ where: this.#where(member), expected, actual, remedy });
    this.#refusals.add(error);
    return error;
  }

  call<T>(member: UserMember, run: () => T): T {
    enterStep(this.#episode, this.#stepCount);
    enterMember(member);
    try {
      return this.#guard(
        member,
        () => 'no exception',
        () => {
          const value = run();
          if (!isPromise(value)) return value;
          // Its own failure would otherwise end the process first.
          Promise.resolve(value).catch(() => {});
          const remedy = 'Environments are synchronous: leave out async and await';
          throw this.refusal(member, 'a value at once', 'a promise', remedy);
        },
      );
    } finally {
      leaveMember();
    }
  }

  fields<Name extends string>(
    member: string,
    given: Readonly<Partial<Record<Name, unknown>>>,
    names: readonly Name[],
    prefix = '',
  ): Record<Name, unknown> {
    const values = {} as Record<Name, unknown>;
    let reading: Name;
    const read = () => {
      for (reading of names) values[reading] = given[reading];
      return values;
    };
    // The text is made only where one throws: every step reads some.
    return this.#guard(member, () => `${prefix}${reading} to be read without an exception`, read);
  }

  checkNumber(member: string, what: string, value: unknown): void {
    if (typeof value === 'number' && Math.abs(value) <= float32Max) return;
    const isLarge = typeof value === 'number' && Number.isFinite(value);
    throw this.refusal(member, `${what} to be a finite number${isLarge ? ' that float32 can hold' : ''}`, shown(value));
  }

  checkNumbers(member: string, what: string, values: unknown, names: readonly string[]): void {
    const list = values as ArrayLike<unknown> | null | undefined;
    if (typeof list !== 'object' || list === null || list.length !== names.length) {
      const actual = typeof list === 'object' && list !== null && 'length' in list ? `${list.length}` : shown(list);
      throw this.refusal(member, `${what} of ${names.length} values (${names.join(', ')})`, actual);
    }
    for (let i = 0; i < names.length; i++) this.checkNumber(member, `${what} value ${i} (${names[i]})`, list[i]);
  }

  checkState(member: string, name: string, values: Float64Array): void {
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw this.refusal(member, `finite values in "${name}"`, `${values[bad]} at ${bad}`);
  }

  checkBoolean(member: string, what: string, value: unknown): void {
    if (typeof value !== 'boolean') throw this.refusal(member, `${what} to be true or false`, shown(value));
  }

  beginEpisode(): void {
    this.#episodeCount++;
    this.#stepCount = 0;
    this.#isRestored = false;
  }

  beginStep(): void {
    this.#stepCount++;
  }

  restoreEpisode(stepCount: number): void {
    this.#stepCount = stepCount;
    this.#isRestored = true;
  }

  #guard<T>(member: string, expected: () => string, run: () => T): T {
    try {
      return run();
    } catch (cause) {
      if (cause instanceof Error && this.#refusals.has(cause)) throw cause;
      const error = invalidArgument({
        where: this.#where(member),
        expected: expected(),
        actual: thrownText(cause, this.#file),
        cause,
      });
      this.#refusals.add(error);
      throw error;
    }
  }

  /** -1 if a saved state was put back, whose episode is not known: also where several episodes take turns in one environment. */
  get #episode(): number {
    return this.#isRestored ? -1 : this.#episodeCount;
  }

  #where(member: string): string {
    return `${this.#path} ${member}${placeText(this.#episode, this.#stepCount)}`;
  }
}

/** A value as an error shows it: texts in quotes, anything that is not plain by its kind. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `the text ${quoted(value)}`;
  if (isPromise(value)) return 'a promise';
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return `an object (${value.constructor?.name ?? 'without a class'})`;
  return typeof value === 'bigint' ? `the BigInt ${value}` : String(value);
}

/**
 * What was thrown, with the place in the user's own file where the stack has one.
 * @param findPlace file and line where the stack has another place, or none
 */
export function thrownText(
  thrown: unknown,
  file: string,
  findPlace = (_stack: string): string | undefined => undefined,
): string {
  if (!(thrown instanceof Error)) return `${shown(thrown)}, which is no Error and has no line`;
  const stack = stackOf(thrown);
  const line = lineIn(stack, file);
  const at = findPlace(stack) ?? (line === undefined ? undefined : `${basename(file)}:${line}`);
  const text = textOf(thrown);
  return at === undefined ? text : `${text} at ${at}`;
}

/** Its first line. An Error may be anything: its text may be made by code that throws. */
function textOf(thrown: Error): string {
  try {
    return String(thrown).split('\n')[0]!;
  } catch {
    return 'an Error without a text';
  }
}

/** Empty where it is made by code that throws, or is nothing that has a text. */
function stackOf(thrown: Error): string {
  try {
    return String(thrown.stack);
  } catch {
    return '';
  }
}

/** `line` or `line:column` of the first place in the file that a stack, or what Node prints of an error, has. */
export function lineIn(stack: string, file: string): string | undefined {
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
