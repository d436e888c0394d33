/** The standard health service, without a transport: the status of each service, and its watches. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { invalidArgument, notFound, quoted, resourceExhausted } from '../../src/contract/errors.ts';
import {
  type HealthCheckRequest,
  type HealthCheckResponse_ServingStatus,
  type HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Status,
} from '../../src/gen/grpc/health/v1/health_pb.ts';
import type { ResponseSink, StreamSession } from '../call/rpc.ts';

type WatchSink = ResponseSink<MessageInitShape<typeof HealthCheckResponseSchema>>;

/** Most watches of one connection. */
export const peerWatchCountMax = 16;

export class Health {
  readonly #services: ReadonlySet<string>;
  readonly #watches = new Map<WatchSink, { readonly peer: string; readonly isKnown: boolean }>();
  #isServing = false;

  /** @param services full names; the empty name for the whole server is added */
  constructor(services: readonly string[]) {
    this.#services = new Set(['', ...services]);
  }

  get serving(): boolean {
    return this.#isServing;
  }

  /** Sets the status of the server and of each of its services. */
  set(serving: boolean): void {
    if (serving === this.#isServing) return;
    this.#isServing = serving;
    for (const [sink, { isKnown }] of this.#watches) if (isKnown) sink.send({ status: this.#status });
  }

  get #status(): HealthCheckResponse_ServingStatus {
    return this.#isServing ? Status.SERVING : Status.NOT_SERVING;
  }

  /** @throws HyperpolicyError not_found */
  check(service: string): { readonly status: HealthCheckResponse_ServingStatus } {
    if (this.#services.has(service)) return { status: this.#status };
    throw notFound({
      where: 'Check service',
      expected: `one of ${[...this.#services].map((name) => `"${name}"`).join(', ')}`,
      actual: quoted(service),
    });
  }

  list() {
    return { statuses: Object.fromEntries([...this.#services].map((name) => [name, { status: this.#status }])) };
  }

  /**
   * Sends the status now and at each change, until the client leaves or the server drains.
   * @param peer names the connection, which may have `peerWatchCountMax` watches at once
   */
  watch(sink: WatchSink, peer: string): StreamSession<HealthCheckRequest> {
    const stop = () => this.#watches.delete(sink);
    return {
      // A watch waits for no answer.
      pendingCount: 0,
      receive: ({ service }) => {
        const refusal = this.#refusalOf(sink, peer);
        if (refusal !== undefined) {
          sink.end(refusal);
          return;
        }
        // An unknown service stays unknown, since services are fixed. It counts as a watch as well.
        const isKnown = this.#services.has(service);
        this.#watches.set(sink, { peer, isKnown });
        sink.send({ status: isKnown ? this.#status : Status.SERVICE_UNKNOWN });
      },
      finish: () => {
        if (!this.#watches.has(sink))
          sink.end(invalidArgument({ where: 'Watch', expected: 'a request', actual: 'none' }));
      },
      abandon: stop,
      drain() {
        stop();
        sink.end();
      },
    };
  }

  #refusalOf(sink: WatchSink, peer: string): Error | undefined {
    if (this.#watches.has(sink)) return invalidArgument({ where: 'Watch', expected: 'one request', actual: 'another' });
    const count = [...this.#watches.values()].filter((watch) => watch.peer === peer).length;
    if (count < peerWatchCountMax) return undefined;
    return resourceExhausted({
      where: 'Watch',
      expected: `at most ${peerWatchCountMax} watches on one connection`,
      actual: 'one more',
    });
  }
}
