/**
 * The processes of a server, seen from their parent: started, asked together, replaced when they die, and ended. How one is forked is an
 * argument; what they serve is serving.ts.
 */

import type { Logger } from 'pino';
import type { Rates } from '../access/tokens.ts';
import type { ServerConfig, ServerSettings } from '../config.ts';
import type { SharedSpool } from '../handles/open-handles.ts';
import { Agreement } from './agreement.ts';
import { askForMetrics, inEvery, whyNotReady } from './ask-each.ts';
import { endAll } from './end-all.ts';
import { Lifecycle, type Ports } from './lifecycle.ts';
import { createMember, type Forked } from './member.ts';
import type { MetricValues, ReadyModel } from './messages.ts';
import { createRateHub } from './rates.ts';

export type ProcessGroup = {
  /**
   * Starts all of them, together; resolves when each is ready to answer.
   * @throws HyperpolicyError as the first that cannot start; the others are ended
   */
  start(): Promise<Ports>;
  /**
   * Has every process look through the store; those that start then do it after their start.
   * @throws HyperpolicyError as the first that failed, after all have answered
   */
  refresh(): Promise<void>;
  /** The same without waiting, and without those that still do it; failures are in the log. */
  look(): void;
  /** What every process has ready. */
  list(): readonly ReadyModel[];
  /** Of every process that serves, and what those that have died had counted when they were last asked. */
  metrics(): Promise<readonly (readonly MetricValues[])[]>;
  /** The parent has let in a request of this token. */
  spent(name: string): void;
  /** Why the server cannot answer in full; undefined where it can. */
  notReady(): string | undefined;
  readonly servingCount: number;
  /** Processes that took the place of one that died. */
  readonly replacementCount: number;
  /**
   * Lets every process drain and end, at once.
   * @throws HyperpolicyError failed_precondition: one ended badly, or had to be killed
   */
  stop(): Promise<void>;
};

export type ProcessGroupOptions = {
  readonly config: ServerConfig;
  /** For each process. */
  readonly settings: ServerSettings;
  readonly spool: SharedSpool;
  /** Of tokens, as the parent counts them for all. */
  readonly rates: Rates;
  readonly log: Logger;
  readonly fork: () => Forked;
  /** Milliseconds, not going backwards. */
  readonly clock?: () => number;
};

export function createProcessGroup(options: ProcessGroupOptions): ProcessGroup {
  const { config, rates, log, clock = () => performance.now() } = options;
  const members = Array.from({ length: config.processCount }, (_, i) => createMember(i + 1));
  const hub = createRateHub(rates);
  const agreement = new Agreement(members, config, log);
  const life = new Lifecycle({ ...options, members, agreement, hub, clock });
  const serving = () => members.filter(({ models }) => models !== undefined);
  return {
    start: () => life.start(),
    refresh: () => agreement.refresh(members),
    look() {
      for (const member of members) void agreement.lookAlone(member);
    },
    list: () => inEvery(serving().map(({ models }) => models!)),
    async metrics() {
      await Promise.all(serving().map((member) => askForMetrics(member, log)));
      return [life.bequeathed, ...members.map(({ counted }) => counted)];
    },
    spent: (name) => hub.tell(undefined, { [name]: 1 }),
    notReady: () => (life.isStopping ? 'draining' : whyNotReady(members)),
    get servingCount() {
      return serving().length;
    },
    get replacementCount() {
      return life.replacementCount;
    },
    stop() {
      life.startNoMore();
      return endAll(members, { drainMs: config.drainMs, log });
    },
  };
}
