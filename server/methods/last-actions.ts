/**
 * The last action served to each client of each token and model, for the `hold` fallback. A bounded map: the client that was served
 * longest ago goes first.
 */

import { LruMap } from '../../src/contract/lru-map.ts';

export type LastAction = {
  readonly action: Float32Array; // [B, A]
  readonly rowCount: number;
  /** When it was served, on the clock of `performance.now()`. */
  readonly servedAtMs: number;
};

/** Whose action it is. */
export type ActionOwner = {
  readonly model: string;
  /** Name of the caller's token; empty without tokens. */
  readonly caller: string;
  readonly clientId: string;
};

/** Larger batches are not kept: no control loop sends them. */
const rowCountMax = 64;

export class LastActions {
  readonly #actions = new LruMap<LastAction>();
  readonly #countMax: number;

  constructor({ countMax }: { readonly countMax: number }) {
    this.#countMax = countMax;
  }

  /** The last action for as many rows. */
  get(whose: ActionOwner, rowCount: number): LastAction | undefined {
    const found = this.#actions.peek(keyOf(whose));
    return found?.rowCount === rowCount ? found : undefined;
  }

  /** Keeps a copy. */
  put(whose: ActionOwner, last: LastAction): void {
    if (last.rowCount > rowCountMax) return;
    this.#actions.set(keyOf(whose), { ...last, action: last.action.slice() });
    this.#actions.evict(() => this.#actions.size > this.#countMax);
  }
}

/** Unambiguous, whatever the three are. */
const keyOf = ({ model, caller, clientId }: ActionOwner): string => JSON.stringify([model, caller, clientId]);
