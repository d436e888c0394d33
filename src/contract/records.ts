/** Objects with names and values: options, texts by name, arrays by name. */

/** Whether an object is a plain record: its own names hold all of its content. False for lists, Maps, Promises and AbortSignals. */
export function isRecord(given: unknown): given is Readonly<Record<string, unknown>> {
  if (typeof given !== 'object' || given === null || Array.isArray(given) || ArrayBuffer.isView(given)) return false;
  const prototype: unknown = Object.getPrototypeOf(given);
  return Object.keys(given).length > 0 || prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** A record of the same names, each with what `fn` makes of its value. */
export const mapValues = <From, To>(
  record: Readonly<Record<string, From>>,
  fn: (value: From, name: string) => To,
): Record<string, To> => Object.fromEntries(Object.entries(record).map(([name, value]) => [name, fn(value, name)]));
