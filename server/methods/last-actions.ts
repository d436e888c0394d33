/**
 * The last action served to each client of each token and model, for the `hold` fallback. A bounded map: the client that was served
 * longest ago goes first.
 */

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

export type LastActions = {
  /** The last action for as many rows. */
  get(whose: ActionOwner, rowCount: number): LastAction | undefined;
  /** Keeps a copy. */
  put(whose: ActionOwner, last: LastAction): void;
};

/** Larger batches are not kept: no control loop sends them. */
const rowCountMax = 64;

export function createLastActions({ countMax }: { readonly countMax: number }): LastActions {
  const actions = new Map<string, LastAction>();
  // Unambiguous, whatever the three are.
  const keyOf = ({ model, caller, clientId }: ActionOwner) => JSON.stringify([model, caller, clientId]);
  return {
    get(whose, rowCount) {
      const found = actions.get(keyOf(whose));
      return found?.rowCount === rowCount ? found : undefined;
    },
    put(whose, last) {
      if (last.rowCount > rowCountMax) return;
      const key = keyOf(whose);
      actions.delete(key);
      actions.set(key, { ...last, action: last.action.slice() });
      const [oldest] = actions.keys();
      if (actions.size > countMax) actions.delete(oldest!);
    },
  };
}
