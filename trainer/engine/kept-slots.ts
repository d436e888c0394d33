/**
 * Slots for what a lane keeps of items: a slot is an item's until the epoch changes, and then free for any. Their number is bounded: an item
 * that finds none takes over the slot that was filled last, so that the others stay.
 */

export type KeptSlots<Slot> = {
  /**
   * The slot of a key, which holds what `fill` made of it in this epoch.
   * @param fill is called unless it does
   */
  take(key: number, epoch: number, fill: (slot: Slot) => void): Slot;
};

/** @param countMax at least 1 */
export function createKeptSlots<Slot>(create: () => Slot, countMax: number): KeptSlots<Slot> {
  if (!(countMax >= 1)) throw new Error(`kept slots: expected at least one, got ${countMax}`);
  const filled = new Map<number, Slot>();
  const free: Slot[] = [];
  let present: number | undefined;
  let last: number | undefined;
  return {
    take(key, epoch, fill) {
      if (epoch !== present) {
        free.push(...filled.values());
        filled.clear();
        present = epoch;
      }
      const own = filled.get(key);
      if (own !== undefined) return own;
      if (filled.size === countMax) {
        free.push(filled.get(last!)!);
        filled.delete(last!);
      }
      const slot = free.pop() ?? create();
      fill(slot);
      filled.set(key, slot);
      last = key;
      return slot;
    },
  };
}
