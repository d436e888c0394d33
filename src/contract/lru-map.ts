/** A map in the order of last use, for bounded maps and caches that drop the entry used longest ago. Its owner decides when to drop. */

export class LruMap<Value> {
  /** A Map iterates in order of insertion: the first entry is the one used longest ago. */
  readonly #values = new Map<string, Value>();
  readonly #bytesOf: (value: Value) => number;
  #bytes = 0;
  /** The key used last: its entry need not be moved. */
  #newest: string | undefined;

  /** @param bytesOf of a value, which never change */
  constructor(bytesOf: (value: Value) => number = () => 0) {
    this.#bytesOf = bytesOf;
  }

  get size(): number {
    return this.#values.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Reads a value, and makes its entry the one used last. */
  get(key: string): Value | undefined {
    const value = this.#values.get(key);
    if (value === undefined || key === this.#newest) return value;
    this.#values.delete(key);
    this.#values.set(key, value);
    this.#newest = key;
    return value;
  }

  /** Reads a value; the order stays. */
  peek(key: string): Value | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: Value): void {
    if (key === this.#newest) this.#bytes -= this.#sizeOf(key);
    else this.delete(key);
    this.#values.set(key, value);
    this.#bytes += this.#bytesOf(value);
    this.#newest = key;
  }

  /** 0 where there is none. */
  #sizeOf(key: string): number {
    const value = this.#values.get(key);
    return value === undefined ? 0 : this.#bytesOf(value);
  }

  delete(key: string): Value | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    this.#bytes -= this.#bytesOf(value);
    return value;
  }

  /** Deletes entries, from the one used longest ago on, for as long as there is too much. */
  evict(isTooMuch: () => boolean, onDeleted: (value: Value) => void = () => {}): void {
    for (const [key, value] of this.#values) {
      if (!isTooMuch()) return;
      this.delete(key);
      onDeleted(value);
    }
  }

  /** Begins with the entry used longest ago. Entries may be deleted meanwhile. An entry that is used meanwhile comes again at the end. */
  [Symbol.iterator](): IterableIterator<[string, Value]> {
    return this.#values[Symbol.iterator]();
  }
}
