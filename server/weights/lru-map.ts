/** Values by key in the order of their last use, and the sum of their bytes. Whoever has the map decides what must go, and when. */

export class LruMap<Value extends { readonly bytes: number }> {
  /** A Map iterates in order of insertion: the first entry is the one used longest ago. */
  readonly #values = new Map<string, Value>();
  #bytes = 0;
  /** The key used last, which is in its place already. */
  #newest: string | undefined;

  get size(): number {
    return this.#values.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The value, which then is the one used last. */
  get(key: string): Value | undefined {
    const value = this.#values.get(key);
    if (value === undefined || key === this.#newest) return value;
    this.#values.delete(key);
    this.#values.set(key, value);
    this.#newest = key;
    return value;
  }

  /** The value, without a use. */
  peek(key: string): Value | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: Value): void {
    this.delete(key);
    this.#values.set(key, value);
    this.#bytes += value.bytes;
    this.#newest = key;
  }

  delete(key: string): Value | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    this.#bytes -= value.bytes;
    return value;
  }

  /** From the one used longest ago on. Entries may be deleted meanwhile; those that are used come once more, at the end. */
  [Symbol.iterator](): IterableIterator<[string, Value]> {
    return this.#values[Symbol.iterator]();
  }
}
