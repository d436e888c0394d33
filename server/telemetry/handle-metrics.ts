/** What is counted of context handles, in Prometheus' form. */

import { Counter, Gauge, type Registry } from 'prom-client';
import type { HandleStore } from '../handles/handle-store.ts';

/** @param handles undefined while the server starts */
export function registerHandleMetrics(handles: () => HandleStore | undefined, registers: Registry[]): void {
  new Gauge({
    name: 'hyperpolicy_context_handles',
    help: 'Contexts held for clients, by the process that wrote them',
    registers,
    collect() {
      this.set(handles()?.entryCount ?? 0);
    },
  });
  new Gauge({
    name: 'hyperpolicy_context_handle_bytes',
    help: 'Their bytes on the disk',
    registers,
    collect() {
      this.set(handles()?.bytes ?? 0);
    },
  });
  new Counter({
    name: 'hyperpolicy_context_handles_dropped_total',
    help: 'Contexts that were not used for too long (expired) or made room for others (evicted)',
    labelNames: ['reason'],
    registers,
    collect() {
      const { expiredCount = 0, evictedCount = 0 } = handles()?.counts ?? {};
      this.reset();
      this.inc({ reason: 'expired' }, expiredCount);
      this.inc({ reason: 'evicted' }, evictedCount);
    },
  });
}
