/** The files of the spool that count against the bounds of this process, in the order of their last use. */

import { moveToEnd } from './lru.ts';

export type OwnFile = { readonly bytes: number; usedAtMs: number; isPending: boolean };

export type OwnFilesOptions = {
  readonly countMax: number;
  readonly bytesMax: number;
  /** When a file was last used, by any process; undefined where it is gone. */
  readonly usedAtMs: (handle: string) => number | undefined;
  /** Removes a file, and calls `forget`. */
  readonly evict: (handle: string) => void;
};

export class OwnFiles {
  readonly #files = new Map<string, OwnFile>();
  readonly #options: OwnFilesOptions;
  #bytes = 0;

  constructor(options: OwnFilesOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#files.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(handle: string, file: OwnFile): void {
    this.#files.set(handle, file);
    this.#bytes += file.bytes;
  }

  forget(handle: string): void {
    const file = this.#files.get(handle);
    if (file === undefined) return;
    this.#files.delete(handle);
    this.#bytes -= file.bytes;
  }

  /** Notes a use, where the file is this process's. */
  touch(handle: string, usedAtMs: number): void {
    const file = this.#files.get(handle);
    if (file === undefined) return;
    file.usedAtMs = usedAtMs;
    moveToEnd(this.#files, handle, file);
  }

  /** Those that are written. */
  written(): string[] {
    return [...this.#files].flatMap(([handle, { isPending }]) => (isPending ? [] : [handle]));
  }

  /** Evicts files used longest ago until there is room for one more of this size; false where that does not do. */
  makeRoom(bytes: number): boolean {
    const { countMax, bytesMax, usedAtMs: usedAtMsOf, evict } = this.#options;
    const hasRoom = () => this.#files.size < countMax && this.#bytes + bytes <= bytesMax;
    for (const [handle, file] of this.#files) {
      if (hasRoom()) return true;
      if (file.isPending) continue;
      // It may have been used in another process.
      const usedAtMs = usedAtMsOf(handle);
      if (usedAtMs !== undefined && usedAtMs > file.usedAtMs) this.touch(handle, usedAtMs);
      else evict(handle);
    }
    return hasRoom();
  }
}
