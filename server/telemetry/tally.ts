/** A Prometheus counter for what happens at every request: its slots are plain numbers, copied out when a scraper asks. */

import { Counter, type Registry } from 'prom-client';

export type Slot = { count: number; readonly labels: Record<string, string> };

export class Tally {
  readonly #slots: Slot[] = [];

  constructor(registry: Registry, name: string, help: string, labelNames: readonly string[]) {
    const slots = this.#slots;
    new Counter({
      name,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      collect() {
        this.reset();
        for (const { labels, count } of slots) this.inc(labels, count);
      },
    });
  }

  slot(labels: Record<string, string>): Slot {
    const slot = { count: 0, labels };
    this.#slots.push(slot);
    return slot;
  }
}
