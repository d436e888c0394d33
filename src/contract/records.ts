/** Objects with names and values, as a caller or a file gives them: options, texts by name, arrays by name. */

/**
 * Whether the names of an object are all that it has. False for lists, and for what keeps its contents out of sight, as a Map, a
 * Promise and an AbortSignal do: nothing of it would be taken.
 */
export function isRecord(given: unknown): given is Readonly<Record<string, unknown>> {
  if (typeof given !== 'object' || given === null || Array.isArray(given) || ArrayBuffer.isView(given)) return false;
  const prototype: unknown = Object.getPrototypeOf(given);
  return Object.keys(given).length > 0 || prototype === null || Object.getPrototypeOf(prototype) === null;
}
