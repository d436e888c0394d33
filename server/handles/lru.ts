/** Maps iterate in order of insertion, so the first entry is the one used longest ago. */

/** Makes an entry the one used last. */
export function moveToEnd<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
}
