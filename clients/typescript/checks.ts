/**
 * Checks of arguments before anything is sent, since JavaScript has no compiler that checks them. The server refuses what fits into a
 * message but not the model. Each check throws HyperpolicyError invalid_argument with the name of the argument.
 */

import { invalidArgument } from '../../src/contract/errors.ts';
import { isRecord } from '../../src/contract/records.ts';

const refusal = (where: string, expected: string, actual: unknown, remedy?: string) =>
  invalidArgument({ where, expected, actual: shown(actual), remedy });

/** A value in short, for an error. */
export function shown(value: unknown): string {
  if (value === undefined) return 'none';
  if (typeof value === 'string') return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}...` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`;
  const names = Object.keys(value);
  const name = value.constructor?.name ?? 'object';
  if (name !== 'Object') return `a ${name}`;
  return names.length === 0 ? 'an empty object' : `an object with ${names.slice(0, 5).join(', ')}`;
}

/** An object, all of whose names are among those. */
export function checkOptions(where: string, given: unknown, names: readonly string[]): void {
  if (!isRecord(given)) throw refusal(where, 'an object of options', given);
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown !== undefined) throw refusal(where, `options among ${names.join(', ')}`, unknown);
}

/** @param low least, included */
export function checkInteger(where: string, given: unknown, low: number, high: number): void {
  if (typeof given === 'number' && Number.isInteger(given) && given >= low && given <= high) return;
  throw refusal(where, `an integer from ${low} to ${high}`, given);
}

export function checkBytes(where: string, given: unknown): void {
  checkInteger(where, given, 1, 2 ** 31 - 1);
}

/** A duration in milliseconds, however long. @param low least; where 0 is not allowed it is more than that */
export function checkTime(where: string, given: unknown, { orZero = false } = {}): void {
  if (typeof given === 'number' && (given > 0 || (orZero && given === 0))) return;
  throw refusal(where, `a number of milliseconds ${orZero ? 'from' : 'above'} 0`, given);
}

export function checkNumber(where: string, given: unknown): void {
  if (typeof given !== 'number') throw refusal(where, 'a number', given);
}

export function checkText(where: string, given: unknown, bytesMax = Number.POSITIVE_INFINITY): void {
  if (typeof given !== 'string' || given === '') throw refusal(where, 'a text that is not empty', given);
  // A character is at most three bytes of UTF-8.
  const fits = 3 * given.length <= bytesMax || new TextEncoder().encode(given).length <= bytesMax;
  if (!fits) throw refusal(where, `at most ${bytesMax} bytes`, `${given}`);
}

export function checkBoolean(where: string, given: unknown): void {
  if (typeof given !== 'boolean') throw refusal(where, 'true or false', given);
}

export function checkChoice(where: string, given: unknown, choices: readonly string[]): void {
  if (typeof given !== 'string' || !choices.includes(given))
    throw refusal(where, `one of ${choices.join(', ')}`, given);
}

/** At most one of these is given. */
export function checkOneOf<T extends object>(where: string, given: T, names: readonly (keyof T & string)[]): void {
  const present = names.filter((name) => given[name] !== undefined);
  if (present.length < 2) return;
  throw invalidArgument({ where, expected: `one of ${names.join(' and ')}`, actual: 'both' });
}

/** An object whose parts of those names are functions. */
export function checkFunctions(where: string, given: unknown, names: readonly string[]): void {
  if (typeof given !== 'object' || given === null) throw refusal(where, `an object with ${names.join(', ')}`, given);
  for (const name of names) checkFunction(`${where} ${name}`, (given as Record<string, unknown>)[name]);
}

export function checkFunction(where: string, given: unknown): void {
  if (typeof given !== 'function') throw refusal(where, 'a function', given);
}

export function checkSignal(where: string, given: unknown): void {
  if (!(given instanceof AbortSignal)) throw refusal(where, 'an AbortSignal', given);
}

/** Whether a text is `host:port`, with an IPv6 address in brackets. */
export function isAddress(text: string): boolean {
  const port = /^(?:[^\s:/[\]@]+|\[[\da-fA-F:.]+\]):(\d{1,5})$/.exec(text)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}

export function checkAddress(where: string, given: unknown): void {
  if (typeof given === 'string' && isAddress(given)) return;
  throw refusal(where, 'host:port, such as 127.0.0.1:50051 or [::1]:50051', given);
}

/** Percentages by label. */
export function checkShares(where: string, given: unknown): void {
  if (!isRecord(given)) throw refusal(where, 'an object of percentages by label', given);
  for (const [label, share] of Object.entries(given)) {
    if (typeof share !== 'number') throw refusal(`${where} ${label}`, 'a number from 0 to 100', share);
    // In the server's words.
    if (!(share >= 0 && share <= 100)) throw refusal(where, `0 to 100 for label ${JSON.stringify(label)}`, share);
  }
}

/** A text that fits a header field. The error does not show it: it is a secret. */
export function checkToken(where: string, given: unknown): void {
  if (typeof given === 'string' && /^[\x21-\x7e]+$/.test(given)) return;
  const actual = typeof given === 'string' ? `${given.length} characters, not all of which are` : shown(given);
  throw invalidArgument({ where, expected: 'printable ASCII characters without spaces', actual });
}

/** Header fields: names in lower case, values of printable characters. */
export function checkMetadata(where: string, given: unknown): void {
  if (!isRecord(given)) throw refusal(where, 'an object of texts by name', given);
  for (const [name, value] of Object.entries(given)) {
    if (!/^[a-z0-9_.-]+$/.test(name) || /^grpc-|-bin$/.test(name)) {
      throw refusal(where, 'names of a-z 0-9 _ . - that neither begin with grpc- nor end with -bin', name);
    }
    if (typeof value !== 'string' || !/^[\x20-\x7e]*$/.test(value)) {
      throw refusal(`${where} ${name}`, 'a text of printable ASCII characters', value);
    }
  }
}
