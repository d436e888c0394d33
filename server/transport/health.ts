/** The standard health service, without a transport: the status of each service, and who is told when it changes. */

import { notFound, quoted, resourceExhausted } from '../../src/contract/errors.ts';
import {
  type HealthCheckResponse_ServingStatus,
  HealthCheckResponse_ServingStatus as Status,
} from '../../src/gen/grpc/health/v1/health_pb.ts';

export type ServingStatus = HealthCheckResponse_ServingStatus;

export type Health = {
  /** Sets the status of the server and of each of its services. */
  set(serving: boolean): void;
  readonly serving: boolean;
  /** @throws HyperpolicyError not_found */
  check(service: string): ServingStatus;
  list(): Record<string, { status: ServingStatus }>;
  /**
   * Tells the status now and at each change, until the returned function is called or the server ends it.
   * @param peer of whom there may be so many watches at once
   * @throws HyperpolicyError resource_exhausted over that bound
   */
  watch(service: string, watcher: HealthWatcher, peer: string): () => void;
  /** Ends every watch: nothing will change any more. */
  close(): void;
};

export type HealthWatcher = { tell(status: ServingStatus): void; end(): void };

/** Watches of one connection; connections are bounded too. */
export const peerWatchCountMax = 16;

/** @param services full names; the empty name, the server as a whole, is added */
export function createHealth(services: readonly string[]): Health {
  const names = new Set(['', ...services]);
  const watchers = new Set<HealthWatcher>();
  const watchCounts = new Map<string, number>();
  let serving = false;
  const status = () => (serving ? Status.SERVING : Status.NOT_SERVING);
  return {
    set(next) {
      if (next === serving) return;
      serving = next;
      for (const { tell } of watchers) tell(status());
    },
    get serving() {
      return serving;
    },
    check(service) {
      if (names.has(service)) return status();
      throw notFound({
        where: 'Check service',
        expected: `one of ${[...names].map((name) => `"${name}"`).join(', ')}`,
        actual: quoted(service),
      });
    },
    list: () => Object.fromEntries([...names].map((name) => [name, { status: status() }])),
    watch(service, watcher, peer) {
      const count = watchCounts.get(peer) ?? 0;
      if (count >= peerWatchCountMax) {
        throw resourceExhausted({
          where: 'Watch',
          expected: `at most ${peerWatchCountMax} watches on one connection`,
          actual: 'one more',
        });
      }
      const known = names.has(service);
      watcher.tell(known ? status() : Status.SERVICE_UNKNOWN);
      // What is unknown stays unknown: services are fixed at start. It is watched all the same, so that it can be ended.
      const watched = known ? watcher : { ...watcher, tell: () => {} };
      watchers.add(watched);
      watchCounts.set(peer, count + 1);
      return () => {
        if (!watchers.delete(watched)) return;
        const left = watchCounts.get(peer)! - 1;
        if (left === 0) watchCounts.delete(peer);
        else watchCounts.set(peer, left);
      };
    },
    close() {
      for (const { end } of watchers) end();
      watchers.clear();
      watchCounts.clear();
    },
  };
}
