/** The last action served to each client of each model, for the `hold` fallback: a bounded map, least recently served first out. */

export type HeldAction = {
  readonly action: Float32Array; // [B, A]
  readonly rowCount: number;
  /** When it was served, on the clock of `performance.now()`. */
  readonly servedAtMs: number;
};

export type HeldActions = {
  /** The last action for as many rows. */
  get(model: string, clientId: string, rowCount: number): HeldAction | undefined;
  /** Keeps a copy. */
  put(model: string, clientId: string, held: HeldAction): void;
};

/** Larger batches are no control loop: they are not kept. */
const heldRowCountMax = 64;

export function createHeldActions({ countMax }: { readonly countMax: number }): HeldActions {
  const held = new Map<string, HeldAction>();
  // A model name has no slash, so keys are unambiguous.
  const keyOf = (model: string, clientId: string) => `${model}/${clientId}`;
  return {
    get(model, clientId, rowCount) {
      const found = held.get(keyOf(model, clientId));
      return found?.rowCount === rowCount ? found : undefined;
    },
    put(model, clientId, last) {
      if (last.rowCount > heldRowCountMax) return;
      const key = keyOf(model, clientId);
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
