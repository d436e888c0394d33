/** The load of one package: for how long others wait for it, and what becomes of it. */

import type { ServedVersion } from './served-version.ts';

/** A version that is loaded, or is to be. */
export type TriedVersion = { readonly model: string; readonly version: number };

/** A package in the store. */
export type Found = TriedVersion & {
  readonly directory: string;
  readonly identity: string;
  /** Of all its files. */
  readonly state: string;
  /** Once it is loaded. */
  served?: ServedVersion;
  /** Why it cannot be used: a run of it did not end in time. */
  lost?: Error;
};

/** One load of it. */
export class Load {
  readonly found: Found;
  /** It takes long. */
  isSlow = false;
  isOver = false;
  /** Once it is over, unless it was refused. */
  served: ServedVersion | undefined;
  /** Resolves when it takes long. */
  readonly slow: Promise<void>;
  /** Resolves when it is over. */
  end = Promise.resolve();
  #tellSlow = () => {};

  constructor(found: Found) {
    this.found = found;
    this.slow = new Promise((resolve) => {
      this.#tellSlow = resolve;
    });
  }

  noteSlow(): void {
    this.isSlow = true;
    this.#tellSlow();
  }
}
