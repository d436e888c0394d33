/** Contexts of handles that were used lately, in memory, up to a number of bytes. */

import type { HandleContext } from './handle-context.ts';
import { moveToEnd } from './lru.ts';

/** `notedAtMs`: the last use that the file shows. */
export type CachedContext = {
  readonly context: HandleContext;
  readonly bytes: number;
  usedAtMs: number;
  notedAtMs: number;
};

export class HandleCache {
  readonly #entries = new Map<string, CachedContext>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(handle: string): CachedContext | undefined {
    return this.#entries.get(handle);
  }

  /** Adds an entry that is not there; those used longest ago make room. One larger than the whole cache is not kept. */
  add(handle: string, entry: CachedContext): void {
    if (entry.bytes > this.#bytesMax) return;
    this.#entries.set(handle, entry);
    this.#bytes += entry.bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#bytesMax) return;
      this.delete(oldest);
    }
  }

  /** Notes a use of an entry, where it is still there. */
  touch(handle: string): void {
    const entry = this.#entries.get(handle);
    if (entry !== undefined) moveToEnd(this.#entries, handle, entry);
  }

  delete(handle: string): void {
    const entry = this.#entries.get(handle);
    if (entry === undefined) return;
    this.#entries.delete(handle);
    this.#bytes -= entry.bytes;
  }
}
