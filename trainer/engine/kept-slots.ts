/**
 * Slots for what a lane keeps of items: a slot is an item's until the epoch changes, and then free for any. Their number is bounded: an item
 * that finds none uses the spare one, which is filled for each of its runs.
 */

export type KeptSlots<Slot> = {
  /**
   * The slot of a key, which holds what `fill` made of it in this epoch.
   * @param fill is called unless it does
   */
  take(key: number, epoch: number, fill: (slot: Slot) => void): Slot;
};

export function createKeptSlots<Slot>(create: () => Slot, countMax: number): KeptSlots<Slot> {
  const filled = new Map<number, Slot>();
  const free: Slot[] = [];
  let present: number | undefined;
  let spare: Slot | undefined;
  return {
    take(key, epoch, fill) {
      if (epoch !== present) {
        free.push(...filled.values());
        filled.clear();
        present = epoch;
      }
      const own = filled.get(key);
      if (own !== undefined) return own;
      if (filled.size < countMax) {
        const slot = free.pop() ?? create();
        fill(slot);
        filled.set(key, slot);
        return slot;
      }
      spare ??= create();
      fill(spare);
      return spare;
    },
  };
}
