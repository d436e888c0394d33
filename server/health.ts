/** The standard health service, without a transport: the status of each service, and who is told when it changes. */

import {
  type HealthCheckResponse_ServingStatus,
  HealthCheckResponse_ServingStatus as Status,
} from '../src/gen/grpc/health/v1/health_pb.ts';
import { notFound } from '../src/spec/errors.ts';

export type ServingStatus = HealthCheckResponse_ServingStatus;

export type Health = {
  /** Sets the status of the server and of each of its services. */
  set(serving: boolean): void;
  readonly serving: boolean;
  /** @throws HyperpolicyError not_found */
  check(service: string): ServingStatus;
  list(): Record<string, { status: ServingStatus }>;
  /** Tells the status now and at each change, until the returned function is called. */
  watch(service: string, tell: (status: ServingStatus) => void): () => void;
};

/** @param services full names; the empty name, the server as a whole, is added */
export function createHealth(services: readonly string[]): Health {
  const names = new Set(['', ...services]);
  const watchers = new Set<() => void>();
  let serving = false;
  const status = () => (serving ? Status.SERVING : Status.NOT_SERVING);
  return {
    set(next) {
      if (next === serving) return;
      serving = next;
      for (const tell of watchers) tell();
    },
    get serving() {
      return serving;
    },
    check(service) {
      if (names.has(service)) return status();
      throw notFound({
        where: 'Check service',
        expected: `one of ${[...names].map((name) => `"${name}"`).join(', ')}`,
        actual: JSON.stringify(service.slice(0, 100)),
      });
    },
    list: () => Object.fromEntries([...names].map((name) => [name, { status: status() }])),
    watch(service, tell) {
      const known = names.has(service);
      const tellNow = () => tell(known ? status() : Status.SERVICE_UNKNOWN);
      tellNow();
      // A service that is unknown now stays unknown: services are fixed at start.
      if (!known) return () => {};
      watchers.add(tellNow);
      return () => {
        watchers.delete(tellNow);
      };
    },
  };
}
