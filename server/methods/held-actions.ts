/** The last action served to each client of each token and model, for the `hold` fallback: a bounded map, least recently served first out. */

export type HeldAction = {
  readonly action: Float32Array; // [B, A]
  readonly rowCount: number;
  /** When it was served, on the clock of `performance.now()`. */
  readonly servedAtMs: number;
};

/** Whose action it is. */
export type HeldFor = {
  readonly model: string;
  /** Name of the caller's token; empty where callers are not told apart. */
  readonly caller: string;
  readonly clientId: string;
};

export type HeldActions = {
  /** The last action for as many rows. */
  get(whose: HeldFor, rowCount: number): HeldAction | undefined;
  /** Keeps a copy. */
  put(whose: HeldFor, held: HeldAction): void;
};

/** Larger batches are no control loop: they are not kept. */
const heldRowCountMax = 64;

export function createHeldActions({ countMax }: { readonly countMax: number }): HeldActions {
  const held = new Map<string, HeldAction>();
  // Unambiguous, whatever the three are.
  const keyOf = ({ model, caller, clientId }: HeldFor) => JSON.stringify([model, caller, clientId]);
  return {
    get(whose, rowCount) {
      const found = held.get(keyOf(whose));
      return found?.rowCount === rowCount ? found : undefined;
    },
    put(whose, last) {
      if (last.rowCount > heldRowCountMax) return;
      const key = keyOf(whose);
      held.delete(key);
      held.set(key, { ...last, action: last.action.slice() });
      if (held.size <= countMax) return;
      for (const oldest of held.keys()) {
        held.delete(oldest);
        return;
      }
    },
  };
}
