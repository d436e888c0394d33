/** Objects with names and values, as a caller or a file gives them: options, texts by name, arrays by name. */

/** Whether an object is a plain record: its own names hold all of its content. False for lists, Maps, Promises and AbortSignals. */
export function isRecord(given: unknown): given is Readonly<Record<string, unknown>> {
  if (typeof given !== 'object' || given === null || Array.isArray(given) || ArrayBuffer.isView(given)) return false;
  const prototype: unknown = Object.getPrototypeOf(given);
  return Object.keys(given).length > 0 || prototype === null || Object.getPrototypeOf(prototype) === null;
}
